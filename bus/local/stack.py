"""The local stack: real Kafka and, when asked for, real PostgreSQL in one directory, detached and found again."""

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from bus.errors import ConfigInvalid
from bus.local.kafka import KAFKA_JARS, KafkaNode
from bus.local.layout import BrokerPorts, Layout, Wish, read_layout, settle, write_layout
from bus.local.locking import locked, writing_in
from bus.local.maven import DEFAULT_CACHE, jars
from bus.local.postgres import PostgresNode
from bus.local.progress import SILENT, Report
from bus.local.status import NodeStatus, StackStatus

DEFAULT_DIRECTORY = Path(".lienthong")


class LocalStack:
    """One directory's stack.

    The directory decides: ports, number of brokers and data survive ``down`` and ``up``. ``brokers`` matters the first
    time; ``postgres`` may add the database later; ``port`` and ``postgres_port`` may move what is stopped. ``settings``
    override Kafka's for as long as this object starts the nodes; a function gives each node its own.
    """

    def __init__(
        self,
        directory: Path = DEFAULT_DIRECTORY,
        *,
        brokers: int | None = None,
        postgres: bool = False,
        port: int | None = None,
        postgres_port: int | None = None,
        cache: Path = DEFAULT_CACHE,
        report: Report = SILENT,
        settings: Mapping[str, str] | Callable[[BrokerPorts], Mapping[str, str]] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self._wish = Wish(brokers=brokers, postgres=postgres, port=port, postgres_port=postgres_port)
        self._cache = cache.absolute()
        self._report = report
        self._settings = settings or {}

    def up(self, *, fresh: bool = False) -> StackStatus:
        """Start what does not run yet and wait until every server answers.

        A second ``up`` beside this one waits and then finds all running. ``fresh`` erases the data first. Raises
        ``PathUnwritable``, ``PortTaken``, ``ConfigInvalid`` or, with the end of the server's log, ``Unavailable``.
        """
        with locked(self._lock_file, self._report.say), writing_in(self.directory):
            if fresh:
                self._stop()
                self._erase()
            layout = self._settle_layout()
            self._start_postgres(layout)
            self._start_kafka(layout)
        return self.status()

    def status(self) -> StackStatus:
        """Return what is there, started or not; an empty directory has no nodes."""
        layout = read_layout(self._layout_file)
        if layout is None:
            return StackStatus(directory=self.directory, bootstrap_servers=None, postgres_url=None, nodes=())
        database = self._postgres_node(layout)
        return StackStatus(
            directory=self.directory,
            bootstrap_servers=layout.bootstrap_servers,
            postgres_url=database.url if database else None,
            nodes=tuple(_status(node) for node in self._nodes(layout)),
        )

    def down(self) -> bool:
        """Stop every server, gently and then firmly, and tell whether any ran. Data and ports stay."""
        if not self._layout_file.exists():
            return False
        with locked(self._lock_file, self._report.say):
            return self._stop()

    def node(self, node_id: int) -> KafkaNode:
        """Return one broker of a stack that was started, to stop, start, kill, pause or resume it alone."""
        return self._kafka_nodes(self._layout())[node_id - 1]

    @property
    def database(self) -> PostgresNode:
        """The PostgreSQL server of a stack that was started with one."""
        node = self._postgres_node(self._layout())
        if node is None:
            raise ConfigInvalid(f"{self.directory} has no PostgreSQL; add it with: lienthong local up --postgres")
        return node

    def class_path(self) -> list[Path]:
        """Return Kafka's jars, downloading them the first time."""
        return self._class_path

    @cached_property
    def _class_path(self) -> list[Path]:
        return jars(KAFKA_JARS, cache=self._cache, report=self._report)

    @property
    def _layout_file(self) -> Path:
        return self.directory / "stack.json"

    @property
    def _lock_file(self) -> Path:
        return self.directory / ".lock"

    def _layout(self) -> Layout:
        layout = read_layout(self._layout_file)
        if layout is None:
            raise ConfigInvalid(f"{self.directory} has no stack yet; start one with: lienthong local up")
        return layout

    def _settle_layout(self) -> Layout:
        """Return the layout to start, written down."""
        stored = read_layout(self._layout_file)
        layout = settle(stored, self._wish)
        if stored is not None:
            self._refuse_to_move_running(stored, layout)
        if layout != stored:
            write_layout(self._layout_file, layout)
        return layout

    def _refuse_to_move_running(self, stored: Layout, layout: Layout) -> None:
        wanted = {node.name: node.port for node in self._nodes(layout)}
        for node in self._nodes(stored):
            if wanted[node.name] != node.port and node.process.find() is not None:
                raise ConfigInvalid(f"{node.name} runs on port {node.port}; to move it, first: lienthong local down")

    def _start_kafka(self, layout: Layout) -> None:
        nodes = self._kafka_nodes(layout)
        self.class_path()
        if any(node.process.find() is None for node in nodes):
            self._report.say(f"starting Kafka on {layout.bootstrap_servers}")
        with ThreadPoolExecutor(len(nodes)) as together:
            list(together.map(KafkaNode.launch, nodes))
        for node in nodes:
            node.wait_ready({each.node_id for each in nodes})

    def _start_postgres(self, layout: Layout) -> None:
        database = self._postgres_node(layout)
        if database is not None:
            if database.process.find() is None:
                self._report.say(f"starting PostgreSQL on port {database.port}")
            database.start()

    def _stop(self) -> bool:
        layout = read_layout(self._layout_file)
        if layout is None:
            return False
        nodes = self._nodes(layout)
        ran = any(node.process.find() for node in nodes)
        for node in nodes:
            node.ask_to_stop()
        for node in nodes:
            node.stop()
        return ran

    def _erase(self) -> None:
        """Delete only what a stack makes, never a neighbour's file."""
        for folder in (*self.directory.glob("kafka-*"), self.directory / "postgres"):
            if folder.exists():
                shutil.rmtree(folder)
        self._layout_file.unlink(missing_ok=True)

    def _kafka_nodes(self, layout: Layout) -> list[KafkaNode]:
        return [
            KafkaNode(layout, node, self.directory / f"kafka-{node.node_id}", self.class_path, self._settings_of(node))
            for node in layout.brokers
        ]

    def _settings_of(self, node: BrokerPorts) -> Mapping[str, str]:
        return self._settings(node) if callable(self._settings) else self._settings

    def _nodes(self, layout: Layout) -> list[KafkaNode | PostgresNode]:
        database = self._postgres_node(layout)
        return [*self._kafka_nodes(layout), *([database] if database else [])]

    def _postgres_node(self, layout: Layout) -> PostgresNode | None:
        if layout.postgres_port is None:
            return None
        return PostgresNode(layout.postgres_port, self.directory / "postgres")


def _status(node: KafkaNode | PostgresNode) -> NodeStatus:
    return NodeStatus(
        name=node.name, kind=node.kind, state=node.process.state, pid=node.process.pid, port=node.port, log=node.log
    )
