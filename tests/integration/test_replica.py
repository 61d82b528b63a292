"""A replica against real Kafka and both real stores."""

import asyncio
import subprocess
import sys

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bus import kafka as clients
from bus.errors import Fenced
from bus.headers import tombstone_headers
from bus.names import RegisterName
from bus.registry import open_registry
from consumers.lookup import Replica
from consumers.stores import open_reader
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
from tests.producing import IDENTITY, person, prepare, records, registry_settings
from tests.schemas import schema_text, with_field


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
    assert set(held(settings)) == {key(1), key(8)}
    assert counters(settings)["parked"] == 5


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


async def test_a_compatible_v2_brings_its_column_by_itself_and_old_rows_are_rebuilt(feed, settings, topic_prefix):
    await feed.send([upsert(1, 10), upsert(2, 10)])
    async with following(settings) as daemon:
        await release_v2(feed, topic_prefix)
        await feed.send([upsert(1, 20, contact="hộp thư phường")], schema_version=1)
        await feed.send([upsert(3, 10)], schema_version=0)
        await until(lambda: not daemon.unready() and generation(settings) == 2)
        await until(lambda: key(3) in held(settings))
    rows = held(settings)
    assert rows[key(1)]["contact"] == "hộp thư phường"
    assert rows[key(2)]["contact"] is None
    assert rows[key(2)]["full_name"] == "Nguyễn Văn 2"


async def test_replica_of_v1_that_was_away_while_v2_came_is_rebuilt_at_its_start(feed, settings, topic_prefix):
    await feed.send([upsert(1, 10)])
    await catch_up(settings)
    await release_v2(feed, topic_prefix)
    await feed.send([upsert(2, 10, contact="số 1")], schema_version=1)
    await catch_up(settings)
    assert {each: row["contact"] for each, row in held(settings).items()} == {key(1): None, key(2): "số 1"}


async def release_v2(feed: Feed, prefix: str) -> None:
    """The same register with one field more."""
    async with open_registry(registry_settings(prefix), feed.kafka) as registry:
        await registry.publish(feed.register.avro_subject, with_field(schema_text(IDENTITY), "contact", pii="personal"))


def generation(settings) -> int:
    with open_reader(settings.replica.database) as reader:
        return reader.status(RegisterName(IDENTITY)).generation


async def test_deleted_stays_deleted_after_compaction_has_left_the_tombstone_alone(feed, settings, kafka_admin):
    await compact_at_once(kafka_admin, feed.topic)
    await feed.send([upsert(1, 10), delete(1, 20)])
    await until_compacted(feed)
    await catch_up(settings)
    await feed.send([upsert(1, 15)])
    await catch_up(settings)
    assert held(settings) == {}
    await feed.send([upsert(1, 30)])
    await catch_up(settings)
    assert set(held(settings)) == {key(1)}


async def compact_at_once(admin, topic: str) -> None:
    wanted = {"segment.ms": "50", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "50"}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        await asyncio.wrap_future(future)


async def until_compacted(feed: Feed) -> None:
    """Until one record is left of the person, the tombstone; markers roll the segments."""
    async with asyncio.timeout(60):
        while True:
            left = [
                each for each in await records(feed.kafka.bootstrap_servers, feed.topic) if each.key == key(1).encode()
            ]
            if [each.value for each in left] == [None]:
                return
            await feed.send_marker(left[0].partition)
            await asyncio.sleep(0.3)
