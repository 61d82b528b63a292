"""One real Kafka node, broker and controller in one JVM, on loopback only."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import ClassVar, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bus.errors import BrokerUnavailable
from bus.local.java import LOGGING_JARS, java_command, java_environment, java_process, log_to, property_value, run_tool
from bus.local.layout import BrokerPorts, Layout
from bus.local.ports import LOOPBACK, must_be_free
from bus.local.process import tail

KAFKA_JARS = ("org.apache.kafka:kafka_2.13:4.3.1", *LOGGING_JARS)
JVM_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC")
"""The serial collector starts fastest and leaves a small machine's cores to the work; both compilers stay on."""

FORMAT_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
POLL_SECONDS = 0.1
READY_SECONDS = 120.0
"""Ten times what a quiet machine needs; a JVM that dies is told at once."""

STOP_SECONDS = 15.0
"""A broker that hands its partitions over needs 1-6 s."""

ClassPath = Callable[[], Sequence[Path]]


def broker_properties(layout: Layout, node: BrokerPorts, data: Path) -> dict[str, str]:
    """Return one node's settings: DESIGN's for a cluster, scaled down where a laptop needs it.

    Internal topics have 4 partitions instead of 50, and a group does not wait for members who might come, so that
    starting takes seconds. With three brokers every topic has three copies, two of which must be in sync.
    """
    copies = min(3, len(layout.brokers))
    in_sync = 2 if copies == 3 else 1
    voters = ",".join(f"{each.node_id}@{LOOPBACK}:{each.controller_port}" for each in layout.brokers)
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "listeners": f"CLIENT://{LOOPBACK}:{node.port},CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": f"CLIENT://{LOOPBACK}:{node.port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "transaction.max.timeout.ms": "30000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "group.initial.rebalance.delay.ms": "0",
        "broker.session.timeout.ms": "4000",  # a killed broker's partitions have new leaders in 5 s, events flow in 10
        "broker.heartbeat.interval.ms": "1000",
        "log.cleaner.backoff.ms": "1000",
        "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
    }


class KafkaNode:
    """One node in its directory: settings, data, logs, pid. Every method may be called in any state."""

    kind: ClassVar[Literal["kafka"]] = "kafka"

    def __init__(
        self,
        layout: Layout,
        node: BrokerPorts,
        directory: Path,
        class_path: ClassPath,
        settings: Mapping[str, str],
    ) -> None:
        self.node_id = node.node_id
        self.name = f"kafka-{node.node_id}"
        self.port = node.port
        self.log = directory / "broker.log"
        self.process = java_process(self.name, directory)
        self._layout = layout
        self._node = node
        self._directory = directory
        self._data = directory / "data"
        self._class_path = class_path
        self._settings = settings

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self, *, ready_within_seconds: float = READY_SECONDS) -> None:
        """Start this node and wait until it answers as a member of the cluster."""
        self.launch()
        self.wait_ready({self.node_id}, ready_within_seconds)

    def launch(self) -> None:
        """Start the JVM, formatting the data folder the first time, and return at once; resume it if it is paused."""
        if self.process.find() is not None:
            self.resume()
            return
        for port in (self.port, self._node.controller_port):
            must_be_free(port, self.name, "stop that process, or move the brokers with --port")
        properties = self._write_properties()
        if not (self._data / "meta.properties").exists():
            self._format(properties)
        options = (*JVM_OPTIONS, *log_to(self.log, self._directory))
        command = java_command("kafka.Kafka", [str(properties)], self._class_path(), options)
        self.process.start(command, java_environment())

    def wait_ready(self, among: AbstractSet[int], seconds: float = READY_SECONDS) -> None:
        """Wait until the node answers metadata requests and lists ``among``; raise with its log's end if it dies."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.find() is None:
                raise BrokerUnavailable(f"{self.name} died while starting; the end of its log:\n{self._last_words()}")
            if _listens(self.port) and among <= members(self.bootstrap_servers):
                return
            time.sleep(POLL_SECONDS)
        raise BrokerUnavailable(f"{self.name} did not answer within {seconds:.0f} s; see {self.log}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once."""
        self.process.ask_to_stop()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, then SIGKILL when ``seconds`` have passed."""
        self.ask_to_stop()
        self.process.wait_stopped(seconds)

    def kill(self) -> None:
        """SIGKILL: no goodbye to the cluster, no flush."""
        self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: a node that hangs; the cluster gives it up after ``broker.session.timeout.ms``."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def _write_properties(self) -> Path:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "server.properties"
        properties = broker_properties(self._layout, self._node, self._data) | dict(self._settings)
        lines = [f"{key}={property_value(value)}\n" for key, value in properties.items()]
        path.write_text("".join(lines), encoding="ascii")
        return path

    def _format(self, properties: Path) -> None:
        run_tool(
            "kafka.tools.StorageTool",
            ["format", "--ignore-formatted", f"--cluster-id={self._layout.cluster_id}", "-c", str(properties)],
            self._class_path(),
            (*FORMAT_OPTIONS, *log_to(self.log, self._directory)),
        )

    def _last_words(self) -> str:
        return troubles(tail(self.log, 400)) or f"{tail(self.log, 8)}\n{tail(self.process.log, 4)}"


def troubles(log: str) -> str:
    """Return the last lines of a broker's log that tell of errors and their causes, without stack traces."""
    lines = [line for line in log.splitlines() if not line.startswith("\tat ")]
    telling = [line for line in lines if " ERROR " in line or " FATAL " in line or "Exception: " in line]
    return "\n".join(telling[-8:])


def members(bootstrap_servers: str) -> set[int]:
    """Return the ids of the brokers that the cluster lists; empty when nothing answers yet."""
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "socket.timeout.ms": 2000})
    try:
        return set(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return set()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False
