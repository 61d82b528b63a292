"""A replica against real Kafka and both real stores."""

import asyncio
import subprocess
import sys

import pytest

from bus import kafka as clients
from bus.errors import Fenced
from bus.headers import tombstone_headers
from consumers.lookup import Replica
from tests.consuming import (
    Feed,
    catch_up,
    counters,
    daemon_of,
    delete,
    event,
    following,
    held,
    merge,
    replica_settings,
    until,
    upsert,
)
from tests.producing import IDENTITY, person, prepare


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/replica.db"
    return request.getfixturevalue("postgres_database")


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


@pytest.fixture
def settings(kafka, topic_prefix, database):
    return replica_settings(kafka, topic_prefix, database, [IDENTITY])


def key(number: int) -> str:
    return person(number)["personal_id"]


async def test_bootstrap_holds_every_row_with_where_it_came_from(feed, settings):
    sent = [upsert(number, 100 + number) for number in range(200)]
    await feed.send(sent)
    await catch_up(settings)
    rows = held(settings)
    assert set(rows) == {each.key for each in sent}
    assert rows[key(7)]["full_name"] == "Nguyễn Văn 7"
    assert (rows[key(7)]["version"], rows[key(7)]["source"]) == (107, "H29.5")
    assert rows[key(7)]["event_id"] == str(sent[7].event_id)


async def test_stopped_and_started_applies_nothing_twice(feed, settings):
    await feed.send([upsert(number, 10) for number in range(50)])
    await catch_up(settings)
    await feed.send([upsert(number, 20, full_name="Trần Thị Mới") for number in range(10)])
    await catch_up(settings)
    await catch_up(settings)
    assert counters(settings) == {"applied": 60}
    assert held(settings)[key(3)]["full_name"] == "Trần Thị Mới"


async def test_killed_and_started_ends_equal_with_nothing_applied_twice(feed, settings, tmp_path):
    sent = [upsert(number, version) for version in (10, 20, 30) for number in range(400)]
    await feed.send(sent)
    config = tmp_path / "replica.toml"
    replica = settings.replica
    config.write_text(
        f'[replica]\nagency = "{replica.agency}"\ndatabase = "{replica.database}"\nregisters = ["{IDENTITY}"]\n'
        f'prefix = "{replica.prefix}"\nmax_batch = 50\n'
        f'[kafka]\nbootstrap_servers = "{settings.kafka.bootstrap_servers}"\n'
        f'[registry]\ntopic = "{settings.registry.topic}"\n[metrics]\nport = 0\n',
        encoding="utf-8",
    )
    for patience in (0.8, 1.0, 1.2, 1.4):
        command = ("-m", "bus", "replica", "run", "--config", str(config))
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=subprocess.DEVNULL)
        await asyncio.sleep(patience)  # not for luck: the kill may come anywhere
        process.kill()
        await process.wait()
    await catch_up(settings)
    rows = held(settings)
    assert {row["version"] for row in rows.values()} == {30}
    assert len(rows) == 400
    assert sum(counters(settings).values()) == len(sent)


async def test_deleted_stays_deleted_when_an_older_event_comes_late(feed, settings):
    await feed.send([upsert(1, 10), upsert(2, 10)])
    await catch_up(settings)
    await feed.send([delete(1, 20)])
    await catch_up(settings)
    await feed.send([upsert(1, 15)])
    await catch_up(settings)
    assert set(held(settings)) == {key(2)}
    assert counters(settings)["stale"] == 1
    await feed.send([upsert(1, 30)])
    await catch_up(settings)
    assert set(held(settings)) == {key(1), key(2)}


async def test_tombstone_alone_is_the_delete_that_compaction_left(feed, settings):
    await feed.send([upsert(1, 10)])
    await catch_up(settings)
    gone = delete(1, 20)
    async with clients.producer(feed.kafka) as producer:
        await producer.send_and_wait(feed.topic, None, key(1).encode(), headers=tombstone_headers(gone))
    await feed.send([upsert(1, 15)])
    await catch_up(settings)
    assert held(settings) == {}


async def test_bootstrap_after_a_delete_never_shows_the_person(feed, settings):
    await feed.send([upsert(1, 10), delete(1, 20), upsert(1, 15), upsert(2, 10), delete(2, 20), upsert(2, 30)])
    await catch_up(settings)
    assert set(held(settings)) == {key(2)}


async def test_merged_identity_leaves_a_pointer(feed, settings):
    await feed.send([upsert(1, 10), upsert(2, 10)])
    await catch_up(settings)
    await feed.send([merge(1, 2, 20)])
    await catch_up(settings)
    with Replica.open(settings.replica.database) as replica:
        found = replica.get("resident", key(1))
    assert (found.id, found.merged_from) == (key(2), key(1))
    assert found["identity.full_name"].value == "Nguyễn Văn 2"


async def test_poison_is_parked_and_its_neighbours_go_on(feed, settings):
    await feed.send([upsert(1, 10)])
    await feed.send_raw(key(2).encode(), b"\x00\x00\x00\x00\x01garbage")
    await feed.send_raw(key(3).encode(), b"not ours")
    await feed.send_raw(key(4).encode(), b"\x00\x00\x0f\xff\xffbody")
    await feed.send([event(key(5), 10, person(6))])
    await feed.send([upsert(7, 10, full_name="Phạm\x00Thị")])
    await feed.send([upsert(8, 10)])
    await catch_up(settings)
    expected = {key(1), key(8)} if "postgresql" in settings.replica.database else {key(1), key(7), key(8)}
    assert set(held(settings)) == expected
    assert counters(settings)["parked"] == 4 + (len(expected) == 2)


async def test_markers_and_transaction_ends_move_the_position_only(feed, settings):
    await feed.send([upsert(1, 10)])
    for partition in range(12):
        await feed.send_marker(partition)
    await catch_up(settings)
    assert counters(settings) == {"applied": 1, "marker": 12}


async def test_a_change_is_there_while_the_daemon_follows(feed, settings):
    await feed.send([upsert(1, 10)])
    async with following(settings):
        await feed.send([upsert(1, 20, full_name="Lê Thị Dời Nhà")])
        await until(lambda: held(settings)[key(1)]["full_name"] == "Lê Thị Dời Nhà")


async def test_second_daemon_on_the_same_partitions_fences_the_first(feed, kafka, topic_prefix, postgres_database):
    settings = replica_settings(kafka, topic_prefix, postgres_database, [IDENTITY])
    await feed.send([upsert(1, 10)])
    first = daemon_of(settings)
    task = asyncio.create_task(first.run())
    await until(lambda: not first.unready())
    async with following(settings):
        await feed.send([upsert(1, 20)])
        await until(lambda: held(settings)[key(1)]["version"] == 20)
        with pytest.raises(Fenced):
            await task
