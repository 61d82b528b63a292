"""Debezium's PostgreSQL connector with its outbox event router, on a Kafka Connect of the test's own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from bus.cli import err
from bus.local.java import LOGGING_JARS, log_to, property_value, run_java
from bus.local.maven import archive, jars
from bus.local.ports import free_ports
from bus.local.process import ServerProcess
from bus.local.progress import ConsoleReport
from tests.stack import cache

CONNECTOR = "io.debezium:debezium-connector-postgres:3.6.0.Final:tar.gz:plugin"
CONNECT_JARS = ("org.apache.kafka:connect-runtime:4.3.1", *LOGGING_JARS)
STOP_SECONDS = 20.0

HEADERS = {
    "transforms.outbox.table.fields.additional.placement": (
        "id:header:ce_id,version:header:ce_recordversion,source:header:ce_source,created_at:header:ce_time,type:header:op"
    ),
    "transforms.outbox.route.tombstone.on.empty.payload": "true",
}
"""What an agency adds that lets Debezium send our table: the tombstones, and the headers that they need."""


@dataclass(frozen=True, slots=True)
class Router:
    """Where the connector reads and writes; ``more`` replaces settings of the connector."""

    kafka: str
    prefix: str
    database: str
    directory: Path
    more: Mapping[str, str]

    @property
    def log(self) -> Path:
        return self.directory / "connect.log"

    @contextmanager
    def running(self, *jvm_options: str) -> Iterator[ServerProcess]:
        """The worker with its one connector; its replication slot is made when it first starts, and stays."""
        report = ConsoleReport(err)
        class_path = jars(CONNECT_JARS, cache=cache(), report=report)
        self.directory.mkdir(parents=True, exist_ok=True)
        server = run_java(
            "org.apache.kafka.connect.cli.ConnectStandalone",
            [self._write("worker", self._worker()), self._write("connector", self._connector())],
            class_path,
            directory=self.directory,
            name="debezium",
            options=[*jvm_options, *log_to(self.log, self.directory)],
        )
        try:
            yield server
        finally:
            server.ask_to_stop()
            server.wait_stopped(STOP_SECONDS)

    def _worker(self) -> dict[str, str]:
        plugin = archive(CONNECTOR, cache=cache(), report=ConsoleReport(err))
        return {
            "bootstrap.servers": self.kafka,
            "listeners": f"http://127.0.0.1:{free_ports(1)[0]}",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
            "header.converter": "org.apache.kafka.connect.storage.StringConverter",
            "offset.storage.file.filename": str(self.directory / "offsets"),
            "offset.flush.interval.ms": "5000",
            "plugin.path": str(plugin),
            "plugin.discovery": "service_load",
            "producer.compression.type": "lz4",
            "producer.linger.ms": "5",
            "producer.batch.size": str(512 * 1024),
            "producer.buffer.memory": str(64 * 1024 * 1024),
        }

    def _connector(self) -> dict[str, str]:
        url = make_url(self.database)
        return {
            "name": "outbox",
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "database.hostname": str(url.host),
            "database.port": str(url.port),
            "database.user": str(url.username),
            "database.password": "unused",
            "database.dbname": str(url.database),
            "topic.prefix": f"{self.prefix}-debezium",
            "plugin.name": "pgoutput",
            "slot.name": f"{self.prefix}_outbox",
            "publication.name": f"{self.prefix}_outbox",
            "publication.autocreate.mode": "filtered",
            "table.include.list": "public.lienthong_outbox",
            "snapshot.mode": "no_data",
            "tombstones.on.delete": "false",
            "max.batch.size": "20000",
            "max.queue.size": "80000",
            "poll.interval.ms": "10",
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.topic.replacement": f"{self.prefix}.${{routedByValue}}",
            **self.more,
        }

    def _write(self, name: str, settings: Mapping[str, str]) -> str:
        path = self.directory / f"{name}.properties"
        lines = (f"{key}={property_value(value)}\n" for key, value in settings.items())
        path.write_text("".join(lines), encoding="ascii")
        return str(path)
