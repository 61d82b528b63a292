"""Debezium's JDBC sink on Kafka Connect, set up as fast as we know how: the peer that our replica is measured by.

What is in its favour: its start-up is not counted, its converter decodes straight into the flat row that it writes, its
row has the state and the version but none of the other envelope columns, it compares no versions, keeps no graves, feed
or positions in the database, and its two tasks have both cores.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bus.cli import err
from bus.errors import Unavailable
from bus.local.java import LOGGING_JARS, log_to, property_value, run_java
from bus.local.maven import archive, jars
from bus.local.ports import free_ports
from bus.local.process import ServerProcess, tail
from bus.local.progress import ConsoleReport
from tests.benchmarks.javac import CONVERTER, compiled
from tests.benchmarks.took import Took
from tests.benchmarks.topics import Topic, release_of
from tests.stack import cache

CONNECTOR = "io.debezium:debezium-connector-jdbc:3.6.0.Final:tar.gz:plugin"
CONNECT_JARS = ("org.apache.kafka:connect-runtime:4.3.1", "org.apache.avro:avro:1.12.1", *LOGGING_JARS)
TABLE = "resident_identity"
COLUMN_TYPES = {"string": "text", "int": "date"}
BATCH = "5000"

START_SECONDS = 120.0
STALL_SECONDS = 60.0
LOOK_SECONDS = 0.02  # how finely the first row is seen: by the table's size, which costs next to nothing
COUNT_SECONDS = (
    0.1,
    2.0,
)  # a count reads the whole table (30 ms for 500,000 rows), so it is taken ever closer to the end
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Kit:
    """What every worker is started from."""

    class_path: Sequence[Path]
    plugin: Path
    jvm_options: Sequence[str]


def kit(directory: Path, jvm_options: Sequence[str]) -> Kit:
    """Fetch Kafka Connect and Debezium, and compile the converter into ``directory``."""
    report = ConsoleReport(err)
    needed = jars(CONNECT_JARS, cache=cache(), report=report)
    classes = compiled(directory, needed, report)
    return Kit([classes, *needed], archive(CONNECTOR, cache=cache(), report=report), jvm_options)


class Debezium:
    """One worker with one connector of two tasks, writing a topic into one table of a database."""

    def __init__(self, kit: Kit, directory: Path, topic: Topic, database: str) -> None:
        self._kit, self._directory, self._topic, self._database = kit, directory, topic, database
        self._name = f"bench-{time.time_ns()}"
        self._release = release_of(topic)
        self._log = directory / "connect.log"

    def fill(self) -> Took:
        """Make the table, with the replica's primary key, and run the connector until every resident is in it.

        Timed from the first row seen in the table to the last one.
        """
        with psycopg.connect(self._database, autocommit=True) as connection:
            connection.execute(self._create_table())
        return self._run(f"SELECT count(*) FROM {TABLE}")

    def update(self, first_version: int) -> Took:
        """Run it again, from where it stood, until every row has a version of the round that begins there."""
        return self._run(f"SELECT count(*) FROM {TABLE} WHERE _version >= {first_version}")

    def _run(self, count: str) -> Took:
        with psycopg.connect(self._database, autocommit=True) as connection, self._worker() as worker:

            def asked(query: str) -> int:
                return int(connection.execute(query).fetchone()[0])

            size = asked(_SIZE)
            self._wait(worker, lambda: asked(_SIZE) > size)
            began = time.perf_counter()
            self._wait_full(worker, lambda: asked(count), began)
            return Took(self._topic.events, time.perf_counter() - began)

    def _wait(self, worker: ServerProcess, begun: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not begun():
            if worker.find() is None or time.monotonic() > deadline:
                raise Unavailable(f"Debezium wrote nothing; the end of its log:\n{self._last_words()}")
            time.sleep(LOOK_SECONDS)

    def _wait_full(self, worker: ServerProcess, count: Callable[[], int], began: float) -> None:
        """Count sparingly: next when half of the time that seems to be left has passed."""
        have, moved = 0, time.monotonic()
        while (now := count()) < self._topic.events:
            if now > have:
                have, moved = now, time.monotonic()
            if worker.find() is None or time.monotonic() - moved > STALL_SECONDS:
                raise Unavailable(f"Debezium stopped at {have:,} rows; the end of its log:\n{self._last_words()}")
            left = (self._topic.events - have) * (time.perf_counter() - began) / have if have else 0.0
            time.sleep(min(max(left / 2, COUNT_SECONDS[0]), COUNT_SECONDS[1]))

    def _last_words(self) -> str:
        said = tail(self._log, 400).splitlines()
        return "\n".join(line for line in said if "ERROR" in line or "Caused by" in line) or tail(self._log, 20)

    @contextmanager
    def _worker(self) -> Iterator[ServerProcess]:
        server = run_java(
            "org.apache.kafka.connect.cli.ConnectStandalone",
            [self._write("worker", self._worker_settings()), self._write("connector", self._connector())],
            self._kit.class_path,
            directory=self._directory,
            name="debezium",
            options=[*self._kit.jvm_options, *log_to(self._log, self._directory)],
        )
        try:
            yield server
        finally:
            server.ask_to_stop()
            server.wait_stopped(STOP_SECONDS)

    def _worker_settings(self) -> Mapping[str, str]:
        return {
            "bootstrap.servers": self._topic.kafka,
            "listeners": f"http://127.0.0.1:{free_ports(1)[0]}",
            "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
            "value.converter": CONVERTER,
            "value.converter.schema.file": self._schema_file(),
            "value.converter.schema.id": str(self._release.schema_id),
            "header.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
            "offset.storage.file.filename": str(self._directory / "offsets"),
            "offset.flush.interval.ms": "5000",
            "plugin.path": str(self._kit.plugin),
            "plugin.discovery": "service_load",
            "consumer.isolation.level": "read_committed",
            "consumer.max.poll.records": BATCH,
            "consumer.max.partition.fetch.bytes": str(4 * 1024 * 1024),
            "consumer.fetch.max.bytes": str(64 * 1024 * 1024),
            "consumer.fetch.min.bytes": str(256 * 1024),
            "consumer.fetch.max.wait.ms": "100",
        }

    def _connector(self) -> Mapping[str, str]:
        address = self._database.split("@", 1)[1]
        return {
            "name": self._name,
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "tasks.max": "2",
            "topics": self._topic.name,
            "connection.url": f"jdbc:postgresql://{address}?reWriteBatchedInserts=true",
            "connection.username": "postgres",
            "connection.password": "postgres",
            "collection.name.format": TABLE,
            "insert.mode": "upsert",
            "primary.key.mode": "record_value",
            "primary.key.fields": "personal_id",
            "schema.evolution": "none",
            "delete.enabled": "false",
            "batch.size": BATCH,
            "dialect.postgres.unnest.insert.enabled": "true",
        }

    def _create_table(self) -> str:
        """The replica's table without the envelope's columns that the sink does not write."""
        fields = self._release.schema.parsed["fields"][-1]["type"][1]["fields"]
        columns = [f"{field['name']} {COLUMN_TYPES[_base(field['type'])]}" for field in fields]
        return f"CREATE TABLE {TABLE} ({', '.join(columns)}, _version bigint NOT NULL, PRIMARY KEY (personal_id))"

    def _schema_file(self) -> str:
        path = self._directory / "event.avsc"
        path.write_text(json.dumps(json.loads(self._release.schema.text)), encoding="utf-8")
        return str(path)

    def _write(self, name: str, settings: Mapping[str, str]) -> str:
        path = self._directory / f"{name}.properties"
        path.write_text(
            "".join(f"{key}={property_value(value)}\n" for key, value in settings.items()), encoding="ascii"
        )
        return str(path)


_SIZE = f"SELECT pg_relation_size('{TABLE}')"


def _base(avro: Any) -> str:
    """The Avro type below null and logical type."""
    if isinstance(avro, list):
        return _base(avro[1])
    return str(avro["type"]) if isinstance(avro, dict) else str(avro)
