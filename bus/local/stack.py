"""The local stack: real Kafka and, when asked for, real PostgreSQL in one directory, started detached and found again."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bus.errors import ConfigInvalid, PathUnwritable
from bus.local.kafka import KAFKA_JARS, KafkaNode
from bus.local.layout import Layout, new_layout, read_layout, with_first_port, with_postgres, write_layout
from bus.local.maven import jars, locked
from bus.local.postgres import PostgresNode
from bus.local.process import ProcessState
from bus.local.progress import Report, Silent

DEFAULT_DIRECTORY = Path(".lienthong")
DEFAULT_CACHE = Path("~/.cache/lienthong").expanduser()


class NodeStatus(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["kafka", "postgres"]
    state: ProcessState
    pid: int | None
    port: int
    log: Path


class StackStatus(BaseModel):
    """What a directory's stack is and does now. Addresses are given whether or not the servers run."""

    model_config = ConfigDict(frozen=True)

    directory: Path
    bootstrap_servers: str | None
    postgres_url: str | None
    nodes: tuple[NodeStatus, ...]

    @property
    def running(self) -> bool:
        """Whether there are nodes and all of them run."""
        return bool(self.nodes) and all(node.state == "running" for node in self.nodes)


class LocalStack:
    """One directory's stack.

    The directory decides: ports, number of brokers and data survive ``down`` and ``up``. ``brokers``, ``postgres`` and
    ``port`` matter the first time; later ``postgres`` may add the database and ``port`` may move the brokers.
    """

    def __init__(
        self,
        directory: Path,
        *,
        brokers: int | None = None,
        postgres: bool = False,
        port: int | None = None,
        cache: Path = DEFAULT_CACHE,
        report: Report | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self._brokers = brokers
        self._wants_postgres = postgres
        self._port = port
        self._cache = cache
        self._report = report or Silent()
        self._settings = settings or {}

    def up(self, *, fresh: bool = False) -> StackStatus:
        """Start what does not run yet and wait until every server answers.

        A second ``up`` beside this one waits and then finds all running. ``fresh`` erases the data first. Raises
        ``PathUnwritable``, ``PortTaken``, ``ConfigInvalid`` or, with the end of the server's log, ``Unavailable``.
        """
        with locked(self._lock_file):
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
        kafka = tuple(
            NodeStatus(name=n.name, kind="kafka", state=n.process.state, pid=n.process.pid, port=n.port, log=n.log)
            for n in self._kafka_nodes(layout)
        )
        database = self._postgres_node(layout)
        return StackStatus(
            directory=self.directory,
            bootstrap_servers=layout.bootstrap_servers,
            postgres_url=database.url if database else None,
            nodes=kafka + ((_database_status(database),) if database else ()),
        )

    def down(self) -> None:
        """Stop every server, gently and then firmly. Data and ports stay. Does nothing when none runs."""
        if self._layout_file.exists():
            with locked(self._lock_file):
                self._stop()

    def class_path(self) -> list[Path]:
        """Return Kafka's jars, downloading them the first time."""
        return jars(KAFKA_JARS, cache=self._cache, report=self._report)

    def node(self, node_id: int) -> KafkaNode:
        """Return one broker of a stack that was started, to stop, start, kill, pause or resume it alone."""
        return next(node for node in self._kafka_nodes(self._layout()) if node.node_id == node_id)

    @property
    def database(self) -> PostgresNode:
        """The PostgreSQL server of a stack that was started with one."""
        node = self._postgres_node(self._layout())
        if node is None:
            raise ConfigInvalid(f"{self.directory} has no PostgreSQL; start it with: lienthong local up --postgres")
        return node

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
        """Return the layout to start: the stored one with what was asked for added, or a new one."""
        stored = read_layout(self._layout_file)
        layout = stored or new_layout(self._brokers or 1, postgres=self._wants_postgres, first_port=self._port)
        if self._brokers not in (None, len(layout.brokers)):
            raise ConfigInvalid(
                f"{self.directory} holds {len(layout.brokers)} broker(s), not {self._brokers}; "
                "leave --brokers out, or erase the data with --fresh"
            )
        if self._wants_postgres and layout.postgres_port is None:
            layout = with_postgres(layout)
        if self._port not in (None, layout.brokers[0].port):
            layout = self._moved(layout, self._port)
        if layout != stored:
            write_layout(self._layout_file, layout)
        return layout

    def _moved(self, layout: Layout, port: int | None) -> Layout:
        if any(node.process.find() for node in self._kafka_nodes(layout)):
            raise ConfigInvalid(f"the brokers run on port {layout.brokers[0].port}; to move them: lienthong local down")
        return with_first_port(layout, port or 0)

    def _start_kafka(self, layout: Layout) -> None:
        nodes = self._kafka_nodes(layout)
        class_path = self.class_path()
        self._report.say(f"starting Kafka: {layout.bootstrap_servers}")
        for node in nodes:
            node.launch(class_path)
        for node in nodes:
            node.wait_ready()

    def _start_postgres(self, layout: Layout) -> None:
        database = self._postgres_node(layout)
        if database is not None:
            self._report.say(f"starting PostgreSQL: port {database.port}")
            database.start()

    def _stop(self) -> None:
        layout = read_layout(self._layout_file)
        if layout is None:
            return
        nodes = self._kafka_nodes(layout)
        for node in nodes:
            node.process.ask_to_stop()
        database = self._postgres_node(layout)
        if database is not None:
            database.stop()
        for node in nodes:
            node.process.wait_stopped(STOP_SECONDS)

    def _erase(self) -> None:
        """Delete only what a stack makes, never a neighbour's file."""
        try:
            for folder in (*self.directory.glob("kafka-*"), self.directory / "postgres"):
                if folder.exists():
                    shutil.rmtree(folder)
            self._layout_file.unlink(missing_ok=True)
        except OSError as error:
            raise PathUnwritable(f"cannot erase {self.directory}: {error.strerror}") from error

    def _kafka_nodes(self, layout: Layout) -> list[KafkaNode]:
        return [
            KafkaNode(layout, node, self.directory / f"kafka-{node.node_id}", self._settings) for node in layout.brokers
        ]

    def _postgres_node(self, layout: Layout) -> PostgresNode | None:
        if layout.postgres_port is None:
            return None
        return PostgresNode(layout.postgres_port, self.directory / "postgres")


def _database_status(node: PostgresNode) -> NodeStatus:
    process = node.process
    return NodeStatus(
        name="postgres", kind="postgres", state=process.state, pid=process.pid, port=node.port, log=node.log
    )


STOP_SECONDS = 15.0
"""A broker that hands its partitions over needs 1-3 s; the last of several waits in vain for a controller and is killed."""
