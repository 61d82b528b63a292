"""Replicas told to stop at bad moments, and started before what they need is there.

What must be true: code 0 within the deadline, every event with its effect once after the next run, and a state in
``/readyz`` and the log that says what a daemon waits for.
"""

import asyncio
import signal
import time
from contextlib import asynccontextmanager

import psycopg
import pytest

from bus.errors import ClusterMismatch, Unavailable
from bus.local.ports import free_ports
from bus.local.postgres import PostgresNode
from consumers.settings import Retention
from tests.consuming import Feed, catch_up, counters, held, replica_settings, upsert
from tests.producing import IDENTITY, RESIDENCE, prepare
from tests.replicas import noticed, owners, replica_daemons, write_config
from tests.stack import stack_directory

DRAIN = 6.0
SOON = 4.0  # an idle daemon's end on a machine that is busy with much else


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix, [IDENTITY, RESIDENCE])
    return Feed(kafka, topic_prefix)


@pytest.fixture
def daemons(tmp_path):
    with replica_daemons(tmp_path) as daemons:
        yield daemons


@pytest.fixture
def settings(kafka, topic_prefix, postgres_database):
    return settings_for(kafka, topic_prefix, postgres_database)


def settings_for(kafka, prefix, database, **more):
    return replica_settings(kafka, prefix, database, [IDENTITY], **{"drain_seconds": DRAIN, **more})


async def stopped(daemon, within):
    began = time.monotonic()
    daemon.child.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert time.monotonic() - began < within


async def test_sigterm_in_the_middle_of_a_bootstrap_loses_and_doubles_nothing(
    feed, kafka, topic_prefix, postgres_database, daemons
):
    settings = settings_for(kafka, topic_prefix, postgres_database, max_batch=20)
    await feed.send([upsert(number, 10) for number in range(2000)])
    daemon = daemons.start(settings, "replica.committed:3:STOP")
    await noticed(lambda: daemon.child.frozen)
    daemon.child.signal(signal.SIGCONT)
    await stopped(daemon, DRAIN)
    assert (daemon.waiting_for(), held(settings)) == (None, {})
    await catch_up(settings)
    assert (len(held(settings)), counters(settings)) == (2000, {"applied": 2000})


async def test_sigterm_while_the_database_does_not_answer_is_obeyed_at_the_deadline(
    feed, kafka, topic_prefix, postgres_database, daemons
):
    settings = settings_for(kafka, topic_prefix, postgres_database, drain_seconds=2)
    async with hanging(feed, settings, daemons) as daemon:
        began = time.monotonic()
        daemon.child.signal(signal.SIGTERM)
        await noticed(lambda: daemon.waiting_for() in ({"replica": "stopping"}, None))
        daemon.child.signal(signal.SIGHUP)  # as a closing terminal sends it: no reason to begin anew
        assert await daemon.ended() == 0
        assert time.monotonic() - began < 2 + SOON
    assert daemons.logged("replica_cut_short")
    assert not daemons.logged("reload_begun")
    await catch_up(settings)
    assert counters(settings) == {"applied": 2}


async def test_reload_while_the_database_does_not_answer_ends_the_process_to_be_started_again(
    feed, kafka, topic_prefix, postgres_database, daemons
):
    settings = settings_for(kafka, topic_prefix, postgres_database, drain_seconds=2)
    async with hanging(feed, settings, daemons) as daemon:
        daemon.child.signal(signal.SIGHUP)
        assert await daemon.ended(2 + SOON) == Unavailable.exit_code
    await catch_up(settings)
    assert counters(settings) == {"applied": 2}


@asynccontextmanager
async def hanging(feed, settings, daemons):
    """A daemon amid its second event, which the database does not let it commit."""
    await feed.send([upsert(1, 10)])
    daemon = daemons.start(settings)
    await daemon.ready()
    with psycopg.connect(settings.replica.database) as blocking:
        blocking.execute("LOCK TABLE _lienthong_registers IN ACCESS EXCLUSIVE MODE")
        await feed.send([upsert(1, 20)])
        await noticed(lambda: waits_for_a_lock(blocking))
        yield daemon


def waits_for_a_lock(connection):
    found = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return bool(found[0])


async def test_sigterm_in_a_rebalance_ends_both_members_with_0_and_loses_nothing(
    feed, kafka, topic_prefix, postgres_database, daemons
):
    settings = settings_for(kafka, topic_prefix, postgres_database, group=True)
    await feed.send([upsert(number, 10) for number in range(50)])
    first = daemons.start(settings)
    await first.ready()
    second = daemons.start(settings)
    await noticed(lambda: second.waiting_for() is not None)  # it joins now, or is about to
    await feed.send([upsert(number, 20) for number in range(50)])
    await asyncio.gather(stopped(first, DRAIN + SOON), stopped(second, DRAIN + SOON))
    await catch_up(settings)
    assert {row["version"] for row in held(settings).values()} == {20}
    assert sum(counters(settings).values()) == 100


async def test_daemon_started_before_its_database_says_so_leaves_when_told_and_goes_on_once_it_is_there(
    feed, kafka, topic_prefix, daemons
):
    await feed.send([upsert(1, 10)])
    [port] = free_ports(1)
    with stack_directory() as directory:
        server = PostgresNode(port, directory / "postgres")
        settings = settings_for(kafka, topic_prefix, server.url)
        waiting, leaving = daemons.start(settings), daemons.start(settings)
        for daemon in (waiting, leaving):
            await noticed(lambda daemon=daemon: is_about(daemon, "database_unavailable"))
        assert daemons.logged("start_interrupted")[0]["reason"] == "database_unavailable"
        await stopped(leaving, SOON)
        try:
            await asyncio.to_thread(server.start)
            await waiting.ready()
            assert counters(settings) == {"applied": 1}
            await stopped(waiting, SOON)
        finally:
            await asyncio.to_thread(server.stop)


def is_about(daemon, reason):
    return (daemon.waiting_for() or {}).get("replica", "").startswith(reason)


async def test_daemon_started_before_broker_or_registry_says_what_it_waits_for(
    kafka, topic_prefix, postgres_database, daemons
):
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    settings = settings_for(nobody, topic_prefix, postgres_database)
    registry = settings_for(kafka, topic_prefix, postgres_database)
    registry = registry.model_copy(
        update={"registry": registry.registry.model_copy(update={"url": f"http://{nobody}"})}
    )
    without_broker, without_registry = daemons.start(settings), daemons.start(registry)
    await noticed(lambda: is_about(without_broker, "broker_unavailable"))
    await noticed(lambda: is_about(without_registry, "registry_unavailable"))
    await stopped(without_broker, SOON)
    await stopped(without_registry, SOON)


async def test_daemon_that_fails_says_why_in_its_log_and_which_code_it_ends_with(
    kafka, topic_prefix, postgres_database, daemons
):
    await prepare(kafka, topic_prefix, [RESIDENCE])
    daemon = daemons.start(settings_for(kafka, topic_prefix, postgres_database))
    assert await daemon.ended() == ClusterMismatch.exit_code
    [line] = daemons.logged("replica_failed")
    assert (line["reason"], line["code"]) == ("cluster_mismatch", 7)


async def test_sighup_takes_a_new_list_of_registers_and_refuses_a_wrong_file(feed, settings, daemons):
    await feed.send([upsert(1, 10)])
    daemon = daemons.start(settings)
    await daemon.ready()
    good = daemon.config.read_text()
    elsewhere = settings.replica.model_copy(update={"database": "sqlite://replica.db"})
    forgetful = settings.model_copy(update={"retention": Retention(graves_days=29)})
    for number, wrong in enumerate((settings.model_copy(update={"replica": elsewhere}), forgetful)):
        write_config(daemon.config, wrong, daemon.port)
        daemon.child.signal(signal.SIGHUP)
        await noticed(lambda number=number: len(daemons.logged("reload_refused")) == number + 1)
    assert "graves_days: 29 is less than the 30 days" in daemons.logged("reload_refused")[1]["error"]
    assert all(line["error"].startswith(f"{daemon.config}: ") for line in daemons.logged("reload_refused"))
    daemon.config.write_text("[replica]\nagency = 7\n")
    daemon.child.signal(signal.SIGHUP)
    await noticed(lambda: len(daemons.logged("reload_refused")) == 3)
    assert daemon.waiting_for() == {}
    both = settings.replica.model_copy(update={"registers": (IDENTITY, RESIDENCE)})
    write_config(daemon.config, settings.model_copy(update={"replica": both}), daemon.port)
    assert daemon.config.read_text() != good
    daemon.child.signal(signal.SIGHUP)
    await noticed(lambda: len(owners_by_register(settings)) == 2)
    await daemon.ready()
    assert owners(settings.replica.database).keys() == {daemon.pid}
    await stopped(daemon, SOON)


def owners_by_register(settings):
    with psycopg.connect(settings.replica.database) as connection:
        return connection.execute("SELECT DISTINCT register FROM _lienthong_positions").fetchall()
