"""Relays killed with SIGKILL at each crash point and at random, frozen and thawed.

What must be true: the topic's last state per key is the source's, each event stands there once, in version order; and
replicas that followed hold what those do that come later.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys

import pytest
from sqlalchemy import text

from bus.crashpoints import NAMES
from bus.names import RegisterName
from consumers.stores import open_reader
from consumers.stores.model import Slot
from tests.consuming import catch_up, following, held, replica_settings, until
from tests.outbox import in_version_order, installed, kill_relay, outbox, relay_all, relay_settings
from tests.producing import IDENTITY, events, person, prepare
from tests.soak import CHANGES, KILLS

POINTS = (
    *("outbox.taken:1", "outbox.synchronised:1", "outbox.begun:1", "outbox.sent:1", "outbox.marked:1"),
    *("outbox.committed:1", "outbox.committed:2"),
)
PEOPLE = 6
DRIVER = """
import sys
from bus import crashpoints
from producers.outbox.relay.relay import Relay
from producers.outbox.relay.settings import RelaySettings
crashpoints.arm(sys.argv[1])
Relay(RelaySettings.model_validate_json(sys.argv[2])).run(until_empty=True)
"""


def run(settings, point):
    told = settings.model_dump_json().replace('"**********"', f'"{settings.url.get_secret_value()}"')
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-u", "-c", DRIVER, point, told], **pipes, text=True)


@pytest.fixture
def postgres(kafka, topic_prefix, postgres_database):
    asyncio.run(prepare(kafka, topic_prefix))
    engine = installed(postgres_database)
    yield engine
    engine.dispose()


def test_relay_killed_at_each_point_is_followed_by_one_that_loses_and_doubles_nothing(
    kafka, topic_prefix, postgres, postgres_database
):
    assert {point.split(":")[0] for point in POINTS} == {name for name in NAMES if name.startswith("outbox.")}
    agency = outbox(kafka, topic_prefix)
    settings = relay_settings(kafka, topic_prefix, postgres_database, transaction_rows=7, lease_seconds=0.2)
    for point in POINTS:
        write(postgres, agency, 3)
        with run(settings, point) as process:
            _, error = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, (point, error[-2000:])
    relay_all(kafka, topic_prefix, postgres_database, lease_seconds=0.2)
    holds(kafka, topic_prefix, postgres)


def test_relay_killed_at_random_again_and_again_gets_there(kafka, topic_prefix, postgres, postgres_database):
    agency, chance = outbox(kafka, topic_prefix), random.Random(1)  # noqa: S311
    settings = relay_settings(kafka, topic_prefix, postgres_database, transaction_rows=10, lease_seconds=0.2)
    killed = 0
    while killed < KILLS:
        with run(settings, "") as process:
            write(postgres, agency, CHANGES // KILLS // PEOPLE)
            kill_relay(process, process.stdout, postgres, chance)
        killed += process.returncode == -signal.SIGKILL
    relay_all(kafka, topic_prefix, postgres_database, lease_seconds=0.2)
    holds(kafka, topic_prefix, postgres)


def test_frozen_relay_that_was_taken_over_lands_nothing_when_it_thaws(kafka, topic_prefix, postgres, postgres_database):
    agency = outbox(kafka, topic_prefix)
    settings = relay_settings(kafka, topic_prefix, postgres_database, transaction_rows=7, lease_seconds=0.5)
    for point in ("outbox.taken", "outbox.sent"):
        write(postgres, agency, 3)
        with run(settings, f"{point}:1:STOP") as older:
            try:
                assert os.waitid(os.P_PID, older.pid, os.WSTOPPED | os.WEXITED).si_status == signal.SIGSTOP
                relay_all(kafka, topic_prefix, postgres_database, lease_seconds=0.5)
                before = asyncio.run(events(kafka, topic_prefix))
                write(postgres, agency, 1)
                os.kill(older.pid, signal.SIGCONT)
                _, error = older.communicate(timeout=60)
            finally:
                older.kill()
        assert "bus.errors.Fenced" in error, (point, error[-2000:])
        assert asyncio.run(events(kafka, topic_prefix)) == before
        relay_all(kafka, topic_prefix, postgres_database, lease_seconds=0.5)
        holds(kafka, topic_prefix, postgres)


async def test_replica_that_followed_through_freeze_and_thaw_equals_a_fresh_one_row_by_row(
    kafka, topic_prefix, postgres, postgres_database, tmp_path
):
    agency = outbox(kafka, topic_prefix)
    settings = relay_settings(kafka, topic_prefix, postgres_database, transaction_rows=7, lease_seconds=0.5)
    live, fresh = (
        replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path / name}", [IDENTITY]) for name in ("live", "fresh")
    )
    async with following(live):
        await asyncio.to_thread(write, postgres, agency, 4)
        with run(settings, "outbox.sent:2:STOP") as older:
            try:
                await asyncio.to_thread(os.waitid, os.P_PID, older.pid, os.WSTOPPED | os.WEXITED)
                await asyncio.to_thread(relay_all, kafka, topic_prefix, postgres_database, lease_seconds=0.5)
                os.kill(older.pid, signal.SIGCONT)
                _, error = await asyncio.to_thread(older.communicate, timeout=60)
            finally:
                older.kill()
        assert "bus.errors.Fenced" in error, error[-2000:]
        await asyncio.to_thread(write, postgres, agency, 2)
        await asyncio.to_thread(relay_all, kafka, topic_prefix, postgres_database, lease_seconds=0.5)
        await catch_up(fresh)
        await until(lambda: offsets(live) == offsets(fresh))
        assert held(live) == held(fresh)
    assert {row["key"]: (str(row["event_id"]), row["version"]) for row in held(fresh).values()} == living(postgres)


def offsets(settings):
    with open_reader(settings.replica.database) as reader:
        found = reader.positions(RegisterName(IDENTITY), Slot.LIVE).items()
        return {partition: position.next_offset for partition, position in found}


def living(engine):
    """Event and version of each key whose newest row is no delete."""
    newest = (
        "SELECT DISTINCT ON (aggregateid) aggregateid, type, id::text, version FROM lienthong_outbox "
        "WHERE type <> 'TOMBSTONE' ORDER BY aggregateid, version DESC"
    )
    with engine.connect() as connection:
        return {row[0]: (row[2], row[3]) for row in connection.execute(text(newest)) if row[1] == "UPSERT"}


def write(engine, agency, rounds):
    for number in range(rounds):
        with engine.begin() as connection:
            some = [person(n, full_name=f"Nguyễn Văn {chr(65 + number % 26)}") for n in range(PEOPLE)]
            agency.enqueue_many(connection, IDENTITY, some)
            if number % 3 == 1:
                agency.enqueue_delete(connection, IDENTITY, person(5)["personal_id"])


def holds(kafka, prefix, engine):
    """Every committed row's event stands in the topic once, in version order, and nothing else does."""
    with engine.connect() as connection:
        query = "SELECT id::text FROM lienthong_outbox WHERE type <> 'TOMBSTONE' ORDER BY aggregateid, version"
        source = list(connection.execute(text(query)).scalars())
        unsent = connection.execute(text("SELECT count(*) FROM lienthong_outbox WHERE sent_at IS NULL")).scalar()
    found = asyncio.run(events(kafka, prefix))
    assert [str(event.event_id) for event in sorted(found, key=lambda event: (event.key, event.version))] == source
    assert (in_version_order(found), unsent) == (True, 0)
