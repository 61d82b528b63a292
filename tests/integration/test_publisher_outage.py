"""The Publisher when its broker goes away: an error in time, a close in time, and nothing lost once it is back."""

import asyncio
import os
import signal
import time

import pytest

from bus.errors import BrokerUnavailable
from producers import Publisher
from tests.producing import IDENTITY, events, person, prepare, publisher_settings
from tests.stack import local_kafka


@pytest.fixture(scope="module")
def own_kafka():
    with local_kafka() as stack:
        yield stack


def broker_pid(stack):
    [node] = stack.status().nodes
    return node.pid


async def test_frozen_broker_is_told_in_time_and_closing_takes_one_deadline(own_kafka):
    servers = own_kafka.status().bootstrap_servers
    await prepare(servers, "frozen")
    settings = publisher_settings(servers, "frozen", ack_seconds=1, drain_seconds=1)
    pid = broker_pid(own_kafka)
    publisher = Publisher(settings)
    async with publisher:
        await publisher.publish(IDENTITY, person(1))
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(BrokerUnavailable, match="publishing again is safe"):
                await publisher.publish(IDENTITY, person(2))
            started = time.monotonic()
            await publisher.close()
            took = time.monotonic() - started
        finally:
            os.kill(pid, signal.SIGCONT)
    assert took < 5
    async with Publisher(settings) as publisher:
        await publisher.publish(IDENTITY, person(2))
    assert {event.key for event in await events(servers, "frozen")} == {person(n)["personal_id"] for n in (1, 2)}


async def test_call_that_was_cancelled_in_a_pause_of_the_broker_harms_no_later_one(own_kafka):
    servers = own_kafka.status().bootstrap_servers
    await prepare(servers, "back")
    pid = broker_pid(own_kafka)
    async with Publisher(publisher_settings(servers, "back", exclusive=True)) as publisher:
        await publisher.publish(IDENTITY, person(1))
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(publisher.publish(IDENTITY, person(2)), 0.5)
        finally:
            os.kill(pid, signal.SIGCONT)
        await publisher.publish(IDENTITY, person(3))
    found = [event.key for event in await events(servers, "back")]
    assert {person(1)["personal_id"], person(3)["personal_id"]} <= set(found)
    assert len(found) == len(set(found))


async def test_stopped_broker_fails_publish_and_close_ends(own_kafka):
    servers = own_kafka.status().bootstrap_servers
    await prepare(servers, "stopped")
    async with Publisher(publisher_settings(servers, "stopped", ack_seconds=1, drain_seconds=1)) as publisher:
        await publisher.publish(IDENTITY, person(1))
        own_kafka.down()
        with pytest.raises(BrokerUnavailable):
            await publisher.publish(IDENTITY, person(2))
        started = time.monotonic()
    assert time.monotonic() - started < 5
