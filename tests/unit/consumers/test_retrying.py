"""How long retriable failures are borne, and what becomes of a cancellation that nobody asked for."""

import asyncio

import pytest

from bus.errors import DatabaseUnavailable, Fenced, Interrupted
from consumers.retrying import GOOD_SECONDS, RETRY_SECONDS, Patience, not_cancelled_astray, retrying

AWAY = DatabaseUnavailable("away")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def fail(patience: Patience, clock: Clock, *, after: float) -> bool | float:
    """One try that fails after so many seconds."""
    patience.begin()
    clock.now += after
    return patience.answer(AWAY)


def test_pauses_grow_to_the_bound_and_still_differ_there():
    clock, chances = Clock(), iter([0.0] * 40 + [1.0])
    patience = Patience(None, clock=clock, chance=lambda: next(chances))
    pauses = [fail(patience, clock, after=1) for _ in range(41)]
    assert pauses[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert set(pauses[5:40]) == {RETRY_SECONDS}
    assert pauses[40] == 0.75 * RETRY_SECONDS


def test_thousands_of_failures_are_borne():
    clock = Clock()
    patience = Patience(None, clock=clock)
    assert all(fail(patience, clock, after=1) for _ in range(5_000))


def test_patience_is_counted_from_the_first_failure_of_a_row_and_not_from_the_start():
    clock = Clock()
    patience = Patience(10, clock=clock, chance=lambda: 0)
    assert fail(patience, clock, after=3600) == 0.1  # an hour's work, then a server is away for a moment
    assert fail(patience, clock, after=5) == 0.2
    assert fail(patience, clock, after=GOOD_SECONDS + 1) == 0.1
    assert fail(patience, clock, after=5)
    assert fail(patience, clock, after=6) is False


def test_what_no_retry_mends_is_not_tried_again():
    assert Patience(None).answer(Fenced("a successor writes")) is False
    assert Patience(None).answer(ValueError("a mistake of ours")) is False


async def test_work_whose_inner_task_is_cancelled_alone_is_done_again():
    tries = []

    async def work():
        tries.append(1)
        if len(tries) == 1:
            inner = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(inner.cancel)
            await inner
        return "done"

    async with asyncio.TaskGroup() as group:
        task = group.create_task(retrying(work, Patience(None)))
    assert (task.result(), len(tries)) == ("done", 2)


async def test_cancellation_of_the_task_itself_ends_it():
    async def work():
        with not_cancelled_astray():
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_astray_names_the_task():
    async def work():
        with not_cancelled_astray():
            raise asyncio.CancelledError

    with pytest.raises(Interrupted, match=r"register r: something it waited for was cancelled"):
        await asyncio.create_task(work(), name="register r")
