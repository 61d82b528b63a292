"""From the call of ``publish`` to the row that a reader of the replica sees, under a steady load.

Three processes and two servers share the machine: a publisher, the replica, and this one, which asks the database about
once a millisecond which of the residents under way show their new version. What the asking adds counts against us.
"""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bus.errors import Unavailable
from tests.benchmarks.events import version_now
from tests.benchmarks.limits import TABLE
from tests.benchmarks.lookups import percentile
from tests.benchmarks.replica import ROOT, OurReplica
from tests.benchmarks.rounds import Found
from tests.benchmarks.topics import Topic
from tests.benchmarks.workshop import Sizes, Workshop

LOOK_SECONDS = 0.0005
PATIENCE_SECONDS = 10.0  # after the publisher has ended


def latency(shop: Workshop, _keys: Collection[str]) -> Found:
    sizes = shop.sizes
    topic = shop.fresh_topic(f"latency{version_now()}", sizes.latency_residents)
    with shop.servers.database("latency") as database, _replica(shop, topic, database).following():
        took = _watched(database, topic, sizes)
    if len(took) != sizes.latency_rate * sizes.latency_seconds:
        raise Unavailable(f"{len(took)} events were published and seen, not what was meant to be")
    return {
        "latency_p50_ms": percentile(took, 50) / 1e6,
        "latency_p99_ms": percentile(took, 99) / 1e6,
        "latency_max_ms": max(took) / 1e6,
    }


def _replica(shop: Workshop, topic: Topic, database: str) -> OurReplica:
    return OurReplica(shop.folder("latency"), topic, database)


@dataclass(slots=True)
class Watch:
    """When each resident's new state was published, and how long it took to be seen."""

    under_way: dict[str, int] = field(default_factory=dict)
    took: list[int] = field(default_factory=list)
    _rest: bytes = b""

    def told(self, said: bytes) -> None:
        """Take what the publisher wrote, which may end within a line."""
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            key, at = line.decode().split()
            self.under_way[key] = int(at)

    def seen(self, keys: Iterator[str]) -> None:
        now = time.monotonic_ns()
        self.took += [now - self.under_way.pop(key) for key in keys]


def _watched(database: str, topic: Topic, sizes: Sizes) -> list[int]:
    watch, since = Watch(), version_now()
    with psycopg.connect(database, autocommit=True) as connection, _publisher(topic, sizes) as publisher:
        query = _query(connection)
        os.set_blocking(publisher.stdout.fileno(), False)  # type: ignore[union-attr]
        deadline = time.monotonic() + sizes.latency_seconds + PATIENCE_SECONDS * 3
        while (publisher.poll() is None or watch.under_way) and time.monotonic() < deadline:
            _hear(publisher, watch)
            if watch.under_way:
                found = connection.execute(query, (list(watch.under_way), since), prepare=True)
                watch.seen(row[0] for row in found)
            time.sleep(LOOK_SECONDS)
        if publisher.poll() != 0:
            publisher.terminate()
            raise Unavailable(f"the publisher ended with code {publisher.wait()}")
    return watch.took


def _hear(publisher: "subprocess.Popen[bytes]", watch: Watch) -> None:
    said: Any = publisher.stdout.read()  # type: ignore[union-attr] - None while there is nothing
    watch.told(said or b"")


def _publisher(topic: Topic, sizes: Sizes) -> "subprocess.Popen[bytes]":
    numbers = (sizes.latency_rate, sizes.latency_seconds, topic.events)
    command = [sys.executable, "-m", "tests.benchmarks.steady", topic.kafka, topic.prefix, *map(str, numbers)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def _query(connection: "psycopg.Connection[Any]") -> str:
    """Those of the given keys that show a version of the load's; the table's key column is found by its index."""
    column = connection.execute(_KEY_COLUMN, (TABLE,)).fetchone()
    if column is None:
        raise Unavailable(f"{TABLE} has no primary key")
    return f"SELECT {column[0]} FROM {TABLE} WHERE {column[0]} = ANY(%s) AND _version >= %s"


_KEY_COLUMN = """
SELECT quote_ident(attname) FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
WHERE indrelid = %s::regclass AND indisprimary
"""
