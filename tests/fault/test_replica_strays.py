"""Tasks of a replica's daemon that end though nobody told them to: never silently, and what they did goes on."""

import asyncio

import pytest
import structlog
from structlog.testing import LogCapture

from bus.errors import Interrupted
from consumers import replica
from consumers.following import following as following_room
from consumers.stores.model import Slot
from tests.consuming import Feed, counters, daemon_of, following, held, replica_settings, until, upsert
from tests.producing import IDENTITY, prepare


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


@pytest.fixture
def settings(kafka, topic_prefix, tmp_path):
    return replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])


@pytest.fixture
def logged(monkeypatch):
    """What the daemon has logged so far."""
    capture = LogCapture()
    everything = structlog.make_filtering_bound_logger(0)
    for room in (following_room, replica):
        monkeypatch.setattr(room, "log", structlog.wrap_logger(None, [capture], everything))
    return capture.entries


def tasks(name: str) -> list[asyncio.Task]:
    return [task for task in asyncio.all_tasks() if task.get_name() == f"{name} {IDENTITY}"]


def why(logged: list[dict], event: str) -> list[str]:
    return [line["reason"] for line in logged if line["event"] == event]


@pytest.mark.parametrize("what", ["fetch", "turn", "watch"])
async def test_register_whose_work_is_cancelled_astray_says_so_and_begins_again(
    feed, settings, logged, what, monkeypatch
):
    monkeypatch.setattr("consumers.following.following.WRONG_SECONDS", 0.2)
    await feed.send([upsert(1, 10)])
    async with following(settings) as daemon:
        await until(lambda: any(lane.slot is Slot.LIVE and lane._hauling for lane in daemon.following[0]._lanes))
        for task in tasks(what):
            task.cancel()
        await until(lambda: why(logged, "register_interrupted") == ["interrupted"])
        await feed.send([upsert(1, 20)])
        await until(lambda: [row["version"] for row in held(settings).values()] == [20])
        await until(lambda: not daemon.unready())
    assert counters(settings) == {"applied": 2}


async def test_what_goes_on_beside_the_registers_is_begun_again(settings, logged):
    begun = []

    async def work():
        begun.append(1)
        if len(begun) == 1:
            raise asyncio.CancelledError

    await daemon_of(settings)._kept(work, False)
    assert (len(begun), why(logged, "task_interrupted")) == (2, ["interrupted"])


async def test_daemon_whose_work_ends_astray_ends_with_an_error(settings, monkeypatch):
    async def cancelled(_daemon, *, until_caught_up):
        raise asyncio.CancelledError

    monkeypatch.setattr(replica.ReplicaDaemon, "_work", cancelled)
    with pytest.raises(Interrupted, match="nobody had told it to stop"):
        await daemon_of(settings).run(until_caught_up=True)
