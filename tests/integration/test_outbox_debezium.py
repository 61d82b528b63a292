"""Debezium's outbox event router reads our table as it is: what it sends is what the relay would have sent."""

import asyncio
import time

import psycopg
import pytest

from bus.event import Op
from bus.headers import read_tombstone
from tests.connect import HEADERS, Router
from tests.outbox import installed, outbox
from tests.producing import IDENTITY, events, person, prepare, records
from tests.stack import local_postgres

SECONDS = 60.0


@pytest.fixture
def logical_database():
    """A server whose log Debezium can read."""
    with local_postgres() as node:
        with psycopg.connect(node.url, autocommit=True) as server:
            server.execute("ALTER SYSTEM SET wal_level = logical")
        node.stop()
        node.start()
        yield node.url


def test_debeziums_outbox_router_understands_the_table(kafka, topic_prefix, logical_database, tmp_path):
    asyncio.run(prepare(kafka, topic_prefix))
    engine, agency = installed(logical_database), outbox(kafka, topic_prefix)
    router = Router(kafka, topic_prefix, logical_database, tmp_path / "connect", HEADERS)
    with router.running("-Xmx256m", "-XX:TieredStopAtLevel=1"):
        wait_for_slot(logical_database, router)
        with engine.begin() as connection:
            queued = [
                agency.enqueue(connection, IDENTITY, person(1)),
                agency.enqueue(connection, IDENTITY, person(2)),
                agency.enqueue_delete(connection, IDENTITY, person(1)["personal_id"]),
            ]
        wait(lambda: len(all_records(kafka, topic_prefix)) == 4, router)
    engine.dispose()
    found = asyncio.run(events(kafka, topic_prefix))
    assert sorted((e.event_id, e.version) for e in found) == sorted((q.event_id, q.version) for q in queued)
    assert [e.op for e in found if e.key == person(1)["personal_id"]] == [Op.UPSERT, Op.DELETE]
    assert [e.state for e in found if e.key == person(2)["personal_id"]] == [person(2)]
    (grave,) = [each for each in all_records(kafka, topic_prefix) if each.value is None]
    told = read_tombstone(grave.headers)
    assert (told.event_id, told.version, told.source) == (str(queued[2].event_id), queued[2].version, "H29.5")


def all_records(kafka, prefix):
    return asyncio.run(records(kafka, f"{prefix}.{IDENTITY}"))


def wait_for_slot(url, router):
    query = "SELECT count(*) FROM pg_replication_slots WHERE active"
    with psycopg.connect(url, autocommit=True) as server:
        wait(lambda: server.execute(query).fetchone() == (1,), router)


def wait(true, router):
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, router.log.read_text()[-3000:]
        time.sleep(0.1)
