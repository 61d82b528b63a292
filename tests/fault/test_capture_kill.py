"""Captures killed with SIGKILL at each crash point and at random, beside a writer, by triggers and by the log.

Followers frozen and thawed, and a database killed under one.

What must be true: the topic ends with the table's state per key, each event once, in version order, none of them what
the table never was.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
from structlog.testing import capture_logs

from bus.crashpoints import NAMES
from bus.event import Op
from producers.capture.follow.follower import Follower
from producers.outbox.database import engine_for
from tests.capture import follow_all, follow_command, follow_settings, made, made_again, table, take, topic
from tests.outbox import command, kill_relay, relay_all, started, until_said
from tests.producing import prepare
from tests.replicas import NOTICED_SECONDS
from tests.soak import CHANGES, KILLS
from tests.stack import local_postgres

POINTS = ("synchronised:1", "planned:2", "committed:2", "chunked:1", "committed:3", "recorded:1", "recorded:2")
"""Of the log's; the table's 40 people are five chunks."""
FOLLOW = """
import sys
from bus import crashpoints
from producers.capture.follow.follower import Follower
from producers.capture.follow.settings import FollowSettings
crashpoints.arm(sys.argv[1])
Follower(FollowSettings.model_validate_json(sys.argv[2])).run(until_current=True)
"""
FROZEN = ("capture.committed:1", "outbox.sent:1")
"""After Kafka's commit of a chunk of the table; before that of changes in the log."""
FLOWS_AGAIN_SECONDS = 20.0
"""After the server answers: 3 s are the longest pause, the rest is for a busy machine to take over and read the topic."""
TAKE = """
import sys
from bus import crashpoints
from producers.capture.follow.follower import Follower
from tests.capture import take
crashpoints.arm(sys.argv[1])
take(sys.argv[2], sys.argv[3], rows=5)
"""


@pytest.fixture
def bus(kafka, topic_prefix):
    asyncio.run(prepare(kafka, topic_prefix))
    return kafka, topic_prefix


def write(url, chance, times):
    """So many changes of all kinds, some to a transaction, some rolled back; keys move between people and go."""
    with psycopg.connect(url, autocommit=True) as connection:
        while times > 0:
            together = min(chance.randint(1, 8), times)
            with connection.transaction(force_rollback=chance.random() < 0.1):
                for _ in range(together):
                    change(connection, chance)
            times -= together


def change(connection, chance):
    number, name, kind = chance.randint(1, 40), chance.choice("ABCDĐE"), chance.random()
    connection.execute("UPDATE persons SET ten = %s WHERE id = %s", (name, number))
    if kind < 0.1:
        connection.execute("DELETE FROM persons WHERE id = %s", (number,))
    elif kind < 0.2:
        key = f"079085{chance.randint(1, 60):06d}"
        free = "NOT EXISTS (SELECT FROM persons WHERE cccd = %s)"
        connection.execute(f"UPDATE persons SET cccd = %s WHERE id = %s AND {free}", (key, number, key))
    elif kind < 0.3:
        connection.execute(
            "INSERT INTO persons SELECT n, '079085' || lpad((n + 20)::text, 6, '0'), 'Lê Văn', 'Mới', "
            "'1985-03-12', 1 FROM generate_series(1, 40) AS s (n) ON CONFLICT DO NOTHING"
        )


def holds(bus, url):
    last, found = topic(*bus)
    assert last == table(url)
    for key in {event.key for event in found}:
        told = [(event.op, event.state) for event in found if event.key == key]
        assert all(one != next_one for one, next_one in pairwise(told) if next_one[0] is not Op.DELETE)


def run(code, *arguments):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-u", "-c", code, *arguments], **pipes, text=True)


def follower(point, settings):
    told = settings.model_dump_json().replace('"**********"', f'"{settings.url.get_secret_value()}"')
    return run(FOLLOW, point, told)


def test_follower_killed_at_each_point_is_followed_by_one_that_loses_and_doubles_nothing(bus, postgres_database):
    url, chance = postgres_database, random.Random(3)  # noqa: S311
    assert {f"capture.{point.split(':')[0]}" for point in POINTS} == {
        name for name in NAMES if name.startswith("capture.")
    }
    made(url, bus[1], rows=40, way="log")
    settings = follow_settings(*bus, url, lease_seconds=0.2, snapshot_rows=8, transaction_rows=7)
    for point in POINTS:
        write(url, chance, 15)
        with follower(f"capture.{point}", settings) as process:
            _, error = process.communicate(timeout=100)
        assert process.returncode == -signal.SIGKILL, (point, error[-2000:])
    follow_all(*bus, url, lease_seconds=0.2)
    holds(bus, url)


def test_follower_killed_at_random_again_and_again_gets_there(bus, postgres_database):
    url, chance = postgres_database, random.Random(4)  # noqa: S311
    made(url, bus[1], rows=40, way="log")
    settings = follow_settings(*bus, url, lease_seconds=0.2, snapshot_rows=5, transaction_rows=20)
    killed = 0
    while killed < KILLS:
        with follower("", settings) as process:
            write(url, chance, CHANGES // KILLS)
            until_said(process.stdout, "capture_took_over")
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
        killed += process.returncode == -signal.SIGKILL
    follow_all(*bus, url, lease_seconds=0.2)
    holds(bus, url)


def test_frozen_follower_that_was_taken_over_lands_nothing_when_it_thaws_and_ends_with_6(bus, postgres_database):
    url, chance = postgres_database, random.Random(7)  # noqa: S311
    made(url, bus[1], rows=40, way="log")
    asked = follow_command(*bus, url, "--lease", "0.5", "--transaction-rows", "7")
    for point in FROZEN:
        write(url, chance, 15)
        with started(asked, f"{point}:STOP") as older:
            thawed_too_late(bus, url, older)
    holds(bus, url)


def thawed_too_late(bus, url, older):
    """A frozen one is taken over, and thaws when all is done."""
    try:
        assert os.waitid(os.P_PID, older.pid, os.WSTOPPED | os.WEXITED).si_status == signal.SIGSTOP
        follow_all(*bus, url, lease_seconds=0.5)
        before = topic(*bus), place(url)
        os.kill(older.pid, signal.SIGCONT)
        _, error = older.communicate(timeout=60)
    finally:
        older.kill()
    assert older.returncode == 6, error[-2000:]
    assert (topic(*bus), place(url)) == before


def place(url):
    with psycopg.connect(url) as connection:
        query = "SELECT stream::text, snapshot::text, snapshot_done_at FROM lienthong_capture"
        return connection.execute(query).fetchall()


def test_follower_killed_while_it_deletes_who_was_gone_is_followed_by_one_that_deletes_each_once(
    bus, postgres_database
):
    url = postgres_database
    made(url, bus[1], rows=10, way="log")
    follow_all(*bus, url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
        )
        connection.execute("DELETE FROM persons WHERE id > 4")
        connection.execute("UPDATE persons SET cccd = NULL")  # nobody yet, and no longer who it was
    made_again(url, bus[1])
    terms = {"lease_seconds": 0.2, "snapshot_rows": 4, "confirm_deletes": True}
    with follower("capture.committed:2", follow_settings(*bus, url, **terms)) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, error[-2000:]
    assert len(topic(*bus)[0]) == 6
    follow_all(*bus, url, **terms)
    last, found = topic(*bus)
    assert last == table(url)
    assert len([event for event in found if event.op is Op.DELETE]) == 10


def test_changes_flow_again_soon_after_postgresql_was_killed_under_a_follower(bus):
    chance = random.Random(8)  # noqa: S311
    with local_postgres() as server, capture_logs() as told:
        made(server.url, bus[1], rows=5, way="log")
        following = Follower(follow_settings(*bus, server.url))
        with ThreadPoolExecutor(1) as threads:
            ended = threads.submit(following.run)
            try:
                for _ in range(2):
                    write(server.url, chance, 15)
                    arrived(bus, server.url, ended, NOTICED_SECONDS)
                    write(server.url, chance, 15)
                    server.kill()
                    wait_for(lambda: following.unready == "database_unavailable", ended, NOTICED_SECONDS)
                    server.start()
                    arrived(bus, server.url, ended, FLOWS_AGAIN_SECONDS)
            finally:
                following.stop()
            ended.result()
        holds(bus, server.url)
    of_outages = [each["event"] for each in told if each.get("reason") and each["log_level"] != "debug"]
    assert of_outages == ["capture_interrupted", "capture_resumed"] * 2


def arrived(bus, url, ended, seconds):
    """What is committed now is in the topic."""
    wanted = table(url)
    wait_for(lambda: topic(*bus)[0] == wanted, ended, seconds)


def wait_for(condition, ended, seconds):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        assert not ended.done(), ended.exception()
        time.sleep(0.05)


def test_snapshot_of_triggers_and_their_relay_killed_go_on_where_they_were(bus, postgres_database):
    url, chance = postgres_database, random.Random(5)  # noqa: S311
    made(url, bus[1], rows=40)
    for _ in range(2):
        with run(TAKE, "capture.chunked:2", url, bus[1]) as process:
            _, error = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, error[-2000:]
        write(url, chance, 15)
    read, _ = take(url, bus[1])
    assert read <= 40
    with started(command(*bus, url, "--transaction-rows", "7"), "outbox.committed:2") as relay:
        relay.communicate(timeout=60)
    assert relay.returncode == -signal.SIGKILL
    relay_all(*bus, url)
    holds(bus, url)


def test_snapshot_of_triggers_and_their_relay_killed_at_random_get_there(bus, postgres_database):
    url, chance = postgres_database, random.Random(6)  # noqa: S311
    made(url, bus[1], rows=max(40, CHANGES // 50))
    relay = command(*bus, url, "--transaction-rows", "20", "--lease", "0.2")
    engine = engine_for(url)
    for _ in range(KILLS):
        with run(TAKE, "", url, bus[1]) as reading, started(relay) as sending:
            write(url, chance, CHANGES // KILLS)
            kill_relay(sending, sending.stderr, engine, chance)
            reading.kill()
    engine.dispose()
    take(url, bus[1])
    relay_all(*bus, url, lease_seconds=0.2)
    holds(bus, url)
