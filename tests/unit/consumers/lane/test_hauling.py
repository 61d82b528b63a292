"""Whose silence a lane tells of: a broker is silent only while it is asked."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from consumers.lane.hauling import Hauler


class Consumer:
    """Has nothing until ``answer`` is set."""

    def __init__(self):
        self.answer = asyncio.Event()

    async def getmany(self, **_):
        await self.answer.wait()
        return {}


@pytest.fixture
def clock(monkeypatch):
    at = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    return at


@pytest.fixture
def hauler(clock):
    free = asyncio.Event()
    free.set()
    hauler = Hauler(SimpleNamespace(partitions=()), None, max_batch=10, stop=asyncio.Event(), free=free)
    hauler._hearing = SimpleNamespace(heard_at=clock[0])
    hauler._consumer = Consumer()
    return hauler


async def test_broker_is_silent_only_while_it_is_asked(hauler, clock):
    clock[0] += 60
    assert hauler.silent_seconds() == 0
    asked = asyncio.create_task(hauler.haul())
    await asyncio.sleep(0)
    clock[0] += 3
    assert hauler.silent_seconds() == 63
    hauler._hearing.heard_at = clock[0]
    hauler._consumer.answer.set()
    await asked
    clock[0] += 300  # indexes are built
    assert hauler.silent_seconds() == 0
    hauler._consumer.answer.clear()
    asked = asyncio.create_task(hauler.haul())
    await asyncio.sleep(0)
    clock[0] += 4
    assert hauler.silent_seconds() == 4
    asked.cancel()
