"""The relay beside Debezium's PostgreSQL connector with its outbox router: ``python -m tests.benchmarks.outbox``.

Both send the same rows of one outbox, in turn, to topics of the same settings. Timed on the broker's clock, from the first
record appended to the last; for the relay, to the moment at which its last rows are marked, after Kafka's commit. In
Debezium's favour: neither its start nor its reading of the log until the first record is counted, it adds one header
where the relay adds five, sends at least once without transactions, and marks nothing in the database.

The latency is that of single events, from their transaction's commit to a read_committed consumer that has them.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import psycopg
import typer
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from rich.table import Table

from bus import kafka
from bus.cli import console, err
from bus.errors import Unavailable
from bus.settings import KafkaSettings
from producers.outbox import Outbox
from tests.benchmarks.lookups import percentile
from tests.benchmarks.outbox_rows import fill
from tests.benchmarks.servers import Servers
from tests.benchmarks.topics import Topic, release_of
from tests.connect import Router
from tests.outbox import command, installed, outbox
from tests.producing import IDENTITY, person, prepare
from tests.stack import local_kafka, local_postgres

PARTITIONS = 12
START_SECONDS = 120.0
STALL_SECONDS = 60.0
LOOK_SECONDS = 0.25
LATENCY_KEYS = 500

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    events: Annotated[int, typer.Option(min=1000, help="Rows that both send.")] = 200_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often both run, in turn.")] = 3,
    rate: Annotated[int, typer.Option(min=1, help="Single events a second, for the latency.")] = 200,
    seconds: Annotated[int, typer.Option(min=1, help="For so long.")] = 20,
    out: Annotated[Path, typer.Option(help="Where the flat object is written.")] = Path("build/bench-outbox.json"),
    directory: Annotated[Path, typer.Option("--dir", help="Folder of Debezium's files.")] = Path("build/bench-outbox"),
) -> None:
    """Measure the relay's throughput beside Debezium's, and its latency, on servers of the run's own."""
    directory = directory.absolute()
    shutil.rmtree(directory, ignore_errors=True)
    with _servers() as started:
        found = [_round(started, events, directory / str(number), number) for number in range(rounds)]
        took = _latency(started, rate, seconds)
    told = {
        "outbox_relay_events_s": median(each[0] for each in found),
        "outbox_debezium_events_s": median(each[1] for each in found),
        "outbox_vs_debezium": median(each[0] / each[1] for each in found),
        "outbox_latency_p50_ms": percentile(took, 50) / 1e6,
        "outbox_latency_p99_ms": percentile(took, 99) / 1e6,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1), encoding="utf-8")
    sheet = Table("figure", "value", title=f"{events:,} rows, {rounds} rounds; {rate}/s for {seconds} s")
    for name, value in told.items():
        sheet.add_row(name, f"{value:,.2f}")
    console.print(sheet)


@contextmanager
def _servers() -> Iterator[Servers]:
    """Debezium reads the write-ahead log, which needs its logical level; both contenders' rows are written with it."""
    with local_kafka() as stack, local_postgres() as node:
        with psycopg.connect(node.url, autocommit=True) as server:
            server.execute("ALTER SYSTEM SET wal_level = logical")
        node.stop()
        node.start()
        yield Servers(str(stack.status().bootstrap_servers), node.url)


def _round(started: Servers, events: int, directory: Path, number: int) -> tuple[float, float]:
    ways: list[Callable[[Servers, int, Path, str], float]] = [_relay, _debezium]
    rates = {}
    for way in ways if number % 2 == 0 else ways[::-1]:
        prefix = f"b{time.time_ns()}"
        asyncio.run(prepare(started.kafka, prefix))
        _stamp_on_append(started.kafka, f"{prefix}.{IDENTITY}")
        rates[way] = way(started, events, directory, prefix)
        err.print(f"round {number + 1}: {way.__name__.strip('_')}: {rates[way]:,.0f} events/s", highlight=False)
    return rates[_relay], rates[_debezium]


def _relay(started: Servers, events: int, _directory: Path, prefix: str) -> float:
    with started.database("outbox") as database:
        installed(database).dispose()
        fill(database, release_of(Topic(started.kafka, prefix, events)), events)
        subprocess.run(command(started.kafka, prefix, database, "--until-empty", "--log-json"), check=True)
        with psycopg.connect(database) as connection:
            query = "SELECT count(*), extract(epoch FROM max(sent_at)) FROM lienthong_outbox WHERE sent_at IS NOT NULL"
            sent, marked = connection.execute(query).fetchone() or (0, 0)
    if sent != events:
        raise Unavailable(f"the relay sent {sent:,} rows")
    first, _last = _appended(started.kafka, f"{prefix}.{IDENTITY}")
    return events / (float(marked) - first)


def _debezium(started: Servers, events: int, directory: Path, prefix: str) -> float:
    topic = f"{prefix}.{IDENTITY}"
    with started.database("outbox") as database:
        installed(database).dispose()
        router = Router(started.kafka, prefix, database, directory / "connect", {})
        with router.running():
            _wait(router, lambda: _slots(database) == 1)
        fill(database, release_of(Topic(started.kafka, prefix, events)), events)
        with router.running("-Xmx2g"):
            _wait(router, lambda: _count(started.kafka, topic) > 0)
            _wait(router, lambda: _count(started.kafka, topic) >= events, moving=lambda: _count(started.kafka, topic))
        with psycopg.connect(database, autocommit=True) as server:
            server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    first, last = _appended(started.kafka, topic)
    return events / (last - first)


def _wait(router: Router, true: Callable[[], bool], moving: Callable[[], int] | None = None) -> None:
    since, last = time.monotonic(), -1
    while not true():
        if moving is not None and (now := moving()) != last:
            since, last = time.monotonic(), now
        if time.monotonic() - since > (START_SECONDS if moving is None else STALL_SECONDS):
            raise Unavailable(f"Debezium stopped:\n{router.log.read_text()[-2000:]}")
        time.sleep(LOOK_SECONDS)


def _slots(database: str) -> int:
    with psycopg.connect(database, autocommit=True) as server:
        row = server.execute("SELECT count(*) FROM pg_replication_slots WHERE active").fetchone()
        return int(row[0]) if row else 0


def _stamp_on_append(bootstrap: str, topic: str) -> None:
    entry = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = kafka.admin(KafkaSettings(bootstrap_servers=bootstrap))  # held: its answers end with it
    for done in client.incremental_alter_configs([resource]).values():
        done.result()


@contextmanager
def _consumer(bootstrap: str) -> Iterator[Consumer]:
    settings = {"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False}
    client = Consumer(settings | {"isolation.level": "read_committed", "fetch.wait.max.ms": 5})
    try:
        yield client
    finally:
        client.close()


def _count(bootstrap: str, topic: str) -> int:
    with _consumer(bootstrap) as client:
        return sum(
            client.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in range(PARTITIONS)
        )


def _appended(bootstrap: str, topic: str) -> tuple[float, float]:
    """When the broker appended the first record and the last one, in seconds."""
    found = []
    with _consumer(bootstrap) as client:
        for number in range(PARTITIONS):
            place = TopicPartition(topic, number)
            begin, end = client.get_watermark_offsets(place, timeout=10)
            for offset in (begin, end - 2):  # the relay's very last is a marker
                client.assign([TopicPartition(topic, number, offset)])
                message = client.poll(10)
                if message is not None and message.error() is None:
                    found.append(message.timestamp()[1] / 1000)
    return min(found), max(found)


@dataclass(slots=True)
class Load:
    """Single events at a steady rate, each in a transaction of its own; when each had committed."""

    agency: Outbox
    database: str
    rate: int
    seconds: int
    committed: dict[str, int]

    def run(self) -> None:
        with psycopg.connect(self.database) as connection:
            began = time.monotonic()
            for number in range(self.rate * self.seconds):
                time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                queued = self.agency.enqueue(connection, IDENTITY, person(number % LATENCY_KEYS))
                connection.commit()
                self.committed[str(queued.event_id)] = time.monotonic_ns()


def _latency(started: Servers, rate: int, seconds: int) -> list[int]:
    prefix = f"b{time.time_ns()}"
    asyncio.run(prepare(started.kafka, prefix))
    with started.database("outbox") as database:
        installed(database).dispose()
        load = Load(outbox(started.kafka, prefix, registers=(IDENTITY,)), database, rate, seconds, {})
        relay = subprocess.Popen(command(started.kafka, prefix, database, "--log-json"), stderr=subprocess.PIPE)
        try:
            told = relay.stderr
            while told is not None and b"outbox_relay_took_over" not in told.readline():
                pass
            seen = _followed(started.kafka, f"{prefix}.{IDENTITY}", load)
        finally:
            relay.terminate()
            relay.communicate(timeout=30)
    return [at - load.committed[event_id] for event_id, at in seen.items()]


def _followed(bootstrap: str, topic: str, load: Load) -> dict[str, int]:
    seen: dict[str, int] = {}
    wanted = load.rate * load.seconds
    with _consumer(bootstrap) as client:
        client.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        client.poll(1)
        writing = threading.Thread(target=load.run, name="load")
        writing.start()
        deadline = time.monotonic() + load.seconds + STALL_SECONDS
        while len(seen) < wanted and time.monotonic() < deadline:
            message = client.poll(0.1)
            if message is not None and message.error() is None:
                seen[dict(message.headers())["ce_id"].decode()] = time.monotonic_ns()
        writing.join()
    if len(seen) < wanted:
        raise Unavailable(f"{len(seen)} of {wanted} events were seen")
    return seen


if __name__ == "__main__":
    try:
        app(prog_name="python -m tests.benchmarks.outbox")
    except Unavailable as error:
        sys.exit(str(error))
