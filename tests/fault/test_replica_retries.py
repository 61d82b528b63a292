"""Servers that go and come back: a replica backs off with jitter, keeps its partitions, and goes on from the last commit."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import pytest

from bus import metrics
from bus.errors import RegistryUnavailable
from bus.local.ports import free_ports
from tests.consuming import Feed, counters, daemon_of, following, held, replica_settings, until, upsert
from tests.parking import Future, parked_in
from tests.producing import IDENTITY, person, prepare
from tests.stack import local_postgres

BACK_SECONDS = 5.0  # until events flow again once a server is back


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


def key(number: int) -> str:
    return person(number)["personal_id"]


async def test_database_killed_under_the_replica_is_waited_for_and_nothing_is_lost_or_doubled(
    feed, kafka, topic_prefix
):
    with local_postgres() as server:
        settings = replica_settings(kafka, topic_prefix, server.url, [IDENTITY])
        await feed.send([upsert(number, 10) for number in range(20)])
        async with following(settings) as daemon:
            await asyncio.to_thread(server.kill)
            await feed.send([upsert(number, 20) for number in range(20)])
            await until(lambda: daemon.unready().get(IDENTITY, "").startswith("database_unavailable"))
            await until(lambda: metrics.lag.labels(IDENTITY)._value.get() == 20)
            await asyncio.to_thread(server.start)
            back = time.monotonic()
            await until(lambda: not daemon.unready() and held(settings)[key(19)]["version"] == 20)
            assert time.monotonic() - back < BACK_SECONDS
        assert counters(settings) == {"applied": 40}


@asynccontextmanager
async def door_to(server: str, port: int):
    """A TCP port that leads to the server while the block lasts."""
    host, _, number = server.partition(":")

    async def pump(reader, writer):
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        far_reader, far_writer = await asyncio.open_connection(host, int(number))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    serving = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        serving.close()


async def test_broker_that_is_away_at_the_start_is_waited_for(feed, kafka, topic_prefix, tmp_path):
    await feed.send([upsert(1, 10)])
    [port] = free_ports(1)
    settings = replica_settings(f"127.0.0.1:{port}", topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])
    daemon = daemon_of(settings)
    task = asyncio.create_task(daemon.run())
    await asyncio.sleep(1)  # not for luck: two or three tries come to nothing
    assert not task.done()
    assert daemon.unready()
    async with door_to(kafka, port):
        await until(lambda: task.done() or not daemon.unready())
        assert key(1) in held(settings)
        daemon.stop()
        await task


async def test_registry_that_is_away_stops_only_what_nobody_knows_and_parks_none_of_it(
    feed, kafka, topic_prefix, tmp_path
):
    settings = replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])
    future = Future(feed, topic_prefix)
    await feed.send([upsert(1, 10)])
    async with following(settings) as daemon:
        registry = daemon.following[0].book._registry
        versions, tries = registry.versions, []

        async def away(*_given):
            tries.append(time.monotonic())
            raise RegistryUnavailable("away for a while")

        registry.versions = away
        await feed.send([upsert(2, 10)])
        await until(lambda: key(2) in held(settings))
        await future.send(upsert(3, 10, contact=None))
        await until(lambda: len(tries) >= 3)
        assert daemon.unready()[IDENTITY].startswith("registry_unavailable")
        await future.come()
        registry.versions = versions
        back = time.monotonic()
        await until(lambda: key(3) in held(settings) and not daemon.unready())
        assert time.monotonic() - back < BACK_SECONDS
    assert parked_in(settings) == []
