"""Servers that stop answering while a replica reads: it waits, says for whom, holds no more than a batch, loses nothing."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import LogCapture

from consumers import gauging, replica
from consumers.following import following as following_room
from consumers.lane import hauling, lane
from consumers.stores.model import Slot
from tests.consuming import Feed, counters, following, held, replica_settings, until, upsert
from tests.producing import IDENTITY, prepare
from tests.stack import local_kafka, local_postgres


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Say so after half a second instead of ten."""
    monkeypatch.setattr(lane, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(gauging, "STALL_LOOK_SECONDS", 0.05)


@pytest.fixture
def logged(monkeypatch):
    """What the daemon has logged so far."""
    capture = LogCapture()
    everything = structlog.make_filtering_bound_logger(0)  # whatever an earlier test has set
    for room in (following_room, gauging, replica):
        monkeypatch.setattr(room, "log", structlog.wrap_logger(None, [capture], everything))
    return capture.entries


@contextmanager
def paused(server):
    server.pause()
    try:
        yield
    finally:
        server.resume()


async def told(daemon, logged: list[dict], who: str) -> None:
    await until(lambda: daemon.unready().get(IDENTITY, "").startswith(f"{who}: no answer for"))
    await until(lambda: "register_stalled" in events_of(logged))


async def reads(daemon) -> None:
    """Ready after a fill, it opens the lane that follows."""
    await until(lambda: any(each.slot is Slot.LIVE and each._hauling for each in daemon.following[0]._lanes))


def events_of(logged: list[dict]) -> list[str]:
    return [line["event"] for line in logged if line["event"].startswith("register_")]


async def test_a_database_that_stops_answering_holds_the_reading_up_and_loses_nothing(kafka, topic_prefix, logged):
    await prepare(kafka, topic_prefix)
    feed = Feed(kafka, topic_prefix)
    with local_postgres() as server:
        settings = replica_settings(kafka, topic_prefix, server.url, [IDENTITY], max_batch=50)
        await feed.send([upsert(number, 1) for number in range(100)])
        async with following(settings) as daemon:
            await reads(daemon)
            with paused(server):
                await feed.send([upsert(number, 2) for number in range(2_000)])
                await told(daemon, logged, "database")
                await until(lambda: gauge("lienthong_ready") == 0)
                assert gauge("lienthong_lag_events") > 0
                [reading] = daemon.following[0]._lanes
                waiting = reading._hauling
                assert not waiting.done() or waiting.result().count < 500  # a batch, and what came with its end
            await until(lambda: len(held(settings)) == 2_000)
            await until(lambda: events_of(logged)[-1] == "register_resumed")
            assert not daemon.unready()
            await until(lambda: (gauge("lienthong_ready"), gauge("lienthong_lag_events")) == (1, 0))
    assert gauge("lienthong_ready") is None  # a register that is followed no more alerts nobody


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"register": IDENTITY})


async def test_a_broker_that_sends_nothing_is_told_of_and_waited_for(tmp_path, topic_prefix, logged):
    with local_kafka() as stack:
        bootstrap = stack.status().bootstrap_servers
        await prepare(bootstrap, topic_prefix)
        feed = Feed(bootstrap, topic_prefix)
        settings = replica_settings(bootstrap, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])
        await feed.send([upsert(number, 1) for number in range(10)])
        async with following(settings) as daemon:
            await reads(daemon)
            with paused(stack.node(1)):
                await told(daemon, logged, "broker")
            await until(lambda: events_of(logged)[-1] == "register_resumed")
            await feed.send([upsert(number, 2) for number in range(10)])
            await until(lambda: counters(settings)["applied"] == 20)


def batches() -> float:
    return REGISTRY.get_sample_value("lienthong_apply_seconds_count", {"register": IDENTITY}) or 0.0


async def test_a_batch_is_bounded_by_its_bytes_too(kafka, topic_prefix, tmp_path, monkeypatch):
    """Ten thousand large events would not fit into memory, however few they are."""
    monkeypatch.setattr(hauling, "HAUL_BYTES", 1024 * 1024)
    await prepare(kafka, topic_prefix)
    feed = Feed(kafka, topic_prefix)
    settings = replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])
    await feed.send([upsert(number, 1, other_name="Nguyễn " * 14_000) for number in range(60)])
    before, resident = batches(), rss()
    async with following(settings):
        assert len(held(settings)) == 60
    assert batches() - before >= 4  # 6.7 MB in batches of one
    assert rss() - resident < 200 * 1024 * 1024


def rss() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
