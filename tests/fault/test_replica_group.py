"""Several daemons of one replica: added, removed, killed and frozen while events flow.

What must be true: every event has had its effect once, and who has lost partitions writes nothing to them.
"""

import asyncio
import signal
from contextlib import asynccontextmanager
from itertools import count

import pytest
from pydantic import ValidationError

from consumers.stores import open_desk, open_reader
from tests.consuming import Feed, counters, held, replica_settings, upsert
from tests.producing import IDENTITY, prepare
from tests.replicas import noticed, owners, replica_daemons

SESSION = 6  # the shortest that brokers allow by default
KEYS = 40
PARTITIONS = 12


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


@pytest.fixture
def settings(kafka, topic_prefix, postgres_database):
    return replica_settings(kafka, topic_prefix, postgres_database, [IDENTITY], group=True, session_seconds=SESSION)


@pytest.fixture
def daemons(tmp_path):
    with replica_daemons(tmp_path) as daemons:
        yield daemons


class Load:
    """A version of every key after the other, until told to stop."""

    def __init__(self, feed):
        self._feed, self._stop, self.rounds = feed, asyncio.Event(), 0

    async def run(self):
        for version in count(1):
            await self._feed.send([upsert(number, version) for number in range(KEYS)])
            self.rounds = version
            if self._stop.is_set():
                return

    async def end(self):
        self._stop.set()


@asynccontextmanager
async def load_on(feed):
    load = Load(feed)
    task = asyncio.create_task(load.run())
    try:
        await noticed(lambda: load.rounds or task.done())
        yield load
    finally:
        await load.end()
        await task


def lowest(settings):
    return min(row["version"] for row in held(settings).values())


async def all_came_once(settings, load):
    await noticed(lambda: lowest(settings) == load.rounds)
    assert len(held(settings)) == KEYS
    counted = counters(settings)
    assert counted.keys() <= {"applied", "superseded", "stale"}
    assert sum(counted.values()) == KEYS * load.rounds


async def test_daemons_added_stopped_and_killed_under_load_lose_and_double_nothing(feed, settings, daemons):
    database = settings.replica.database
    async with load_on(feed) as load:
        filler = daemons.start(settings, "replica.filled")
        assert await filler.ended() == -signal.SIGKILL
        first, second = daemons.start(settings), daemons.start(settings)  # and the group still has the one that died
        await first.ready()
        await second.ready()
        await noticed(lambda: owners(database) == {first.pid: PARTITIONS // 2, second.pid: PARTITIONS // 2})
        third = daemons.start(settings)
        await noticed(lambda: len(owners(database)) == 3)
        first.child.signal(signal.SIGTERM)
        assert await first.ended() == 0
        third.child.signal(signal.SIGKILL)
        await noticed(lambda: owners(database) == {second.pid: PARTITIONS})
    await all_came_once(settings, load)
    assert second.metric("lienthong_fenced_writes_total") == 0
    second.child.signal(signal.SIGTERM)
    assert await second.ended() == 0


async def test_daemon_frozen_longer_than_its_session_is_refused_when_it_thaws_and_takes_part_again(
    feed, settings, daemons
):
    database = settings.replica.database
    async with load_on(feed) as load:
        frozen = daemons.start(settings, "replica.decoded:8:STOP")
        await noticed(lambda: bool(owners(database)))
        other = daemons.start(settings)
        await noticed(lambda: owners(database) == {other.pid: PARTITIONS})
        before = load.rounds
        frozen.child.signal(signal.SIGCONT)
        await noticed(lambda: frozen.metric("lienthong_fenced_writes_total") == 1)
        await noticed(lambda: owners(database) == {each.pid: PARTITIONS // 2 for each in (frozen, other)})
        await noticed(lambda: lowest(settings) > before)
        await frozen.ready()
    await all_came_once(settings, load)
    assert not frozen.child.ended.done()


async def test_swap_of_a_rebuild_lets_the_other_daemons_go_on_without_counting_a_fenced_write(feed, settings, daemons):
    async with load_on(feed) as load:
        both = [daemons.start(settings) for _ in range(2)]
        for daemon in both:
            await daemon.ready()
        await noticed(lambda: len(owners(settings.replica.database)) == 2)
        generation = status(settings).generation
        with open_desk(settings.replica.database) as desk:
            desk.ask_rebuild(IDENTITY)
        await noticed(lambda: status(settings).generation > generation)
        rounds = load.rounds
        await noticed(lambda: lowest(settings) > rounds)
        for daemon in both:
            await daemon.ready()
            assert daemon.metric("lienthong_fenced_writes_total") == 0
    await noticed(lambda: lowest(settings) == load.rounds)


def status(settings):
    with open_reader(settings.replica.database) as reader:
        return reader.status(IDENTITY)


def test_group_on_sqlite_is_refused_by_name(kafka, topic_prefix, tmp_path):
    with pytest.raises(ValidationError, match=r"replica\.group needs PostgreSQL"):
        replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY], group=True)
