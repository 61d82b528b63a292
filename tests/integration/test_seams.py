"""What a replica meets between the events: compaction, old backups, topics made again, transactions left open."""

import asyncio
import json
import shutil
import sqlite3
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from structlog.testing import capture_logs

from bus import kafka as clients
from bus import metrics
from bus.catalog import load_catalog
from bus.cli import main
from bus.errors import ClusterMismatch, Unavailable
from bus.event import MARKER_KEY
from bus.names import RegisterName
from bus.topics.cluster import create
from bus.topics.plan import wanted
from consumers import rebuilding, watching
from consumers.lane import hauling
from consumers.replica import ReplicaDaemon
from consumers.route import find_route
from consumers.stores import SqliteStore, open_reader
from producers import Publisher
from producers.marking import Marking
from tests.consuming import Feed, catch_up, daemon_of, delete, following, held, replica_settings, until, upsert
from tests.producing import IDENTITY, person, prepare, publisher_settings, records

LONG_AGO = timedelta(days=31)
FORGET = {"delete.retention.ms": "1"}


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "replica.db"


@pytest.fixture
def settings(kafka, topic_prefix, database):
    return replica_settings(kafka, topic_prefix, f"sqlite:///{database}", [IDENTITY], max_batch=10)


@pytest.fixture
def rebuild(settings, tmp_path, capsys, monkeypatch):
    """Runs ``lienthong replica rebuild``; gives exit code and what it printed as JSON."""
    monkeypatch.setattr(rebuilding, "PICK_UP_SECONDS", 1.5)
    replica = settings.replica
    config = tmp_path / "replica.toml"
    config.write_text(
        f'[replica]\nagency = "{replica.agency}"\ndatabase = "{replica.database}"\nregisters = ["{IDENTITY}"]\n'
        f'prefix = "{replica.prefix}"\n[kafka]\nbootstrap_servers = "{settings.kafka.bootstrap_servers}"\n'
        f'[registry]\ntopic = "{settings.registry.topic}"\n',
        encoding="utf-8",
    )

    def run(*arguments: str):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(["replica", "rebuild", "--config", str(config), "--json", *arguments])
        out = capsys.readouterr().out
        return int(exited.value.code or 0), json.loads(out) if out else None

    return run


def key(number: int) -> str:
    return person(number)["personal_id"]


class Gated(SqliteStore):
    """Stops in a fill, after so many batches, until ``go`` is set."""

    def __init__(self, path: Path, batches: int) -> None:
        super().__init__(path)
        self.reached, self.go = threading.Event(), threading.Event()
        self._left = batches

    def fill(self, batch) -> None:
        super().fill(batch)
        self._left -= 1
        if self._left == 0:
            self.reached.set()
            assert self.go.wait(60)


def gated(settings, batches: int) -> tuple[Gated, ReplicaDaemon]:
    store = Gated(Path(settings.replica.database.removeprefix("sqlite:///")), batches)
    return store, ReplicaDaemon(settings, load_catalog(prefix=settings.replica.prefix), store)


async def let_compact(admin, topic: str, **more: str) -> None:
    """Compact at once; with ``FORGET`` deletes go at once, too."""
    wishes = {"segment.ms": "50", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "50", **more}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wishes.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        await asyncio.wrap_future(future)


async def until_left(feed: Feed, wanted: dict[str, int]) -> None:
    """Until the topic has so many records of each of these keys; markers end the segments."""
    async with asyncio.timeout(60):
        while True:
            found = [each.key for each in await records(feed.kafka.bootstrap_servers, feed.topic)]
            if all(found.count(key.encode()) == n for key, n in wanted.items()):
                return
            for partition in range(12):
                await feed.send_marker(partition)
            await asyncio.sleep(0.2)


def age(database: Path, slot: str) -> None:
    """As if the replica had stood still for longer than deletes are kept."""
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE _lienthong_positions SET caught_up_at = ? WHERE slot = ? AND caught_up_at IS NOT NULL",
            ((datetime.now(UTC) - LONG_AGO).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), slot),
        )
    connection.close()


def why_filled(logs) -> list[str]:
    return [each["why"] for each in logs if each["event"] == "fill_begun"]


async def test_restored_backup_from_before_deletes_that_are_gone_is_rebuilt(feed, settings, database, kafka_admin):
    await feed.send([upsert(1, 10), upsert(2, 10)])
    await catch_up(settings)
    backup = database.with_suffix(".backup")
    shutil.copy(database, backup)
    await let_compact(kafka_admin, feed.topic, **FORGET)
    await feed.send([delete(1, 20)])
    await until_left(feed, {key(1): 0})

    shutil.copy(backup, database)
    await catch_up(settings)
    assert set(held(settings)) == {key(1), key(2)}  # no error tells, and nothing is left to read

    shutil.copy(backup, database)
    age(database, "live")
    with capture_logs() as logs:
        await catch_up(settings)
    assert set(held(settings)) == {key(2)}
    assert why_filled(logs) == ["deletes may have gone since this replica was last caught up"]


async def test_old_replica_of_a_topic_to_which_nothing_came_is_not_rebuilt(feed, settings, database):
    await feed.send([upsert(1, 10)])
    await catch_up(settings)
    age(database, "live")
    with capture_logs() as logs:
        await catch_up(settings)
    assert why_filled(logs) == []


async def test_bootstrap_that_outlasts_what_deletes_are_kept_starts_over(
    feed, settings, database, kafka_admin, monkeypatch
):
    monkeypatch.setattr(hauling, "FETCH_BYTES", 1)
    await feed.send([upsert(number, 10) for number in range(60)])
    store, daemon = gated(settings, 2)
    task = asyncio.create_task(daemon.run())
    await asyncio.to_thread(store.reached.wait, 30)
    daemon.stop()
    store.go.set()
    await task
    with sqlite3.connect(database) as connection:
        read = [row[0] for row in connection.execute("SELECT personal_id FROM _lienthong_shadow_resident_identity")]
    connection.close()
    gone = int(read[0][-6:])
    await let_compact(kafka_admin, feed.topic, **FORGET)
    await feed.send([delete(gone, 20)])
    await until_left(feed, {key(gone): 0})
    age(database, "shadow")
    with capture_logs() as logs:
        await catch_up(settings)
    assert set(held(settings)) == {key(number) for number in range(60)} - {key(gone)}
    assert why_filled(logs) == ["the fill takes longer than deletes are kept"]


async def test_topic_compacted_under_a_slow_bootstrap_still_gives_what_is_true(
    feed, settings, kafka_admin, monkeypatch
):
    monkeypatch.setattr(hauling, "FETCH_BYTES", 1)
    for version in (10, 20, 30):
        await feed.send([upsert(number, version, full_name=f"Tên {version}") for number in range(30)])
    await feed.send([delete(number, 40) for number in range(5)])
    before = len(await records(feed.kafka.bootstrap_servers, feed.topic))
    store, daemon = gated(settings, 2)
    task = asyncio.create_task(daemon.run(until_caught_up=True))
    await asyncio.to_thread(store.reached.wait, 30)
    await let_compact(kafka_admin, feed.topic)
    await until_left(feed, {key(number): 1 for number in range(30)})
    assert len(await records(feed.kafka.bootstrap_servers, feed.topic)) < before
    store.go.set()
    await task
    rows = held(settings)
    assert set(rows) == {key(number) for number in range(5, 30)}
    assert {row["full_name"] for row in rows.values()} == {"Tên 30"}


async def test_topic_made_again_is_never_mixed_in_and_rebuilt_when_told_so(
    feed, settings, kafka_admin, rebuild, monkeypatch
):
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.2)
    await feed.send([upsert(1, 10), upsert(2, 10)])
    daemon = daemon_of(settings)
    task = asyncio.create_task(daemon.run())
    await until(lambda: not daemon.unready())
    await asyncio.wrap_future(kafka_admin.delete_topics([feed.topic])[feed.topic])
    await create(kafka_admin, [wanted(feed.topic, 12, feed.register.topic_config, brokers=1)])
    with pytest.raises(ClusterMismatch):  # the watch or the lane, whichever sees it first
        await asyncio.wait_for(task, 30)
    await feed.send([upsert(number, 10) for number in range(3, 40)])
    with pytest.raises(ClusterMismatch, match="rebuild"):
        await catch_up(settings)
    assert set(held(settings)) == {key(1), key(2)}

    code, told = await asyncio.to_thread(rebuild)
    assert (code, told["by"]) == (0, "command")
    assert set(held(settings)) == {key(number) for number in range(3, 40)}


async def test_watch_sees_that_a_topic_is_another_one(feed, kafka_admin, topic_prefix):
    route = await find_route(kafka_admin, load_catalog(prefix=topic_prefix), feed.register)
    watch = watching.Watch(feed.register, kafka_admin)
    await watch.look(route)
    await asyncio.wrap_future(kafka_admin.delete_topics([feed.topic])[feed.topic])
    with pytest.raises(ClusterMismatch, match="no topic"):
        await settled(watch, route)
    await create(kafka_admin, [wanted(feed.topic, 12, feed.register.topic_config, brokers=1)])
    with pytest.raises(ClusterMismatch, match="made again while it was read"):
        await settled(watch, route)


async def settled(watch, route) -> None:
    """A look once the cluster's answers agree: for a moment a topic is still described, and its partitions unknown."""
    with suppress(Unavailable):
        await watch.look(route)
        return
    await settled(watch, route)


async def test_other_partition_count_than_the_catalogue_is_refused_on_both_sides(
    kafka, topic_prefix, kafka_admin, tmp_path
):
    await prepare(kafka, topic_prefix)
    feed = Feed(kafka, topic_prefix)
    await asyncio.wrap_future(kafka_admin.delete_topics([feed.topic])[feed.topic])
    await create(kafka_admin, [wanted(feed.topic, 5, feed.register.topic_config, brokers=1)])
    with pytest.raises(ClusterMismatch, match="5 partitions"):
        await catch_up(replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/r.db", [IDENTITY]))
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        with pytest.raises(ClusterMismatch, match="repartition"):
            await publisher.publish(IDENTITY, person(1))


async def test_running_daemon_rebuilds_when_asked_while_lookups_go_on(feed, settings, database, rebuild):
    everybody = {key(number) for number in range(200)}
    await feed.send([upsert(number, 10) for number in range(200)])
    await catch_up(settings)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM resident_identity WHERE personal_id = ?", (key(7),))
    connection.close()
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        with open_reader(settings.replica.database) as reader:
            while not over.is_set():
                seen.append(reader.rows(RegisterName(IDENTITY)).height)

    async with following(settings):
        looking = asyncio.create_task(asyncio.to_thread(look))
        try:
            dry = await asyncio.to_thread(rebuild, "--dry-run")
            code, told = await asyncio.to_thread(rebuild, "--register", IDENTITY)
        finally:
            over.set()
            await looking
    assert dry == (0, {"by": "nobody", "registers": {IDENTITY: {"done": False, "rows": 199, "offsets": 200}}})
    assert (code, told["by"], told["registers"][IDENTITY]["rows"]) == (0, "daemon", 200)
    assert set(held(settings)) == everybody
    assert set(seen) == {199, 200}
    assert seen == sorted(seen)


def test_rebuild_of_a_register_that_is_not_held_is_refused(rebuild):
    assert rebuild("--register", "resident.residence")[0] == 3


async def test_transaction_of_a_dead_writer_is_named_until_the_broker_has_ended_it(feed, settings):
    await feed.send([upsert(1, 10)])
    async with following(settings) as daemon:
        options = {"transactional_id": f"{feed.topic}-dead", "transaction_timeout_ms": 4000}
        async with clients.producer(feed.kafka, **options) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(feed.topic, b"never", b"committed", partition=3)
            await until(lambda: f"{feed.topic} partition 3" in daemon.unready().get(IDENTITY, ""))
            await until(lambda: gauges() == (1, 0))  # though nothing is committed meanwhile
            await feed.send([upsert(2, 10)])
            await until(lambda: not daemon.unready())
            await until(lambda: gauges() == (0, 1))
            await until(lambda: set(held(settings)) == {key(1), key(2)})


def gauges() -> tuple[float, float]:
    """Events that open transactions hide, and whether the register is ready."""
    return metrics.unstable.labels(IDENTITY)._value.get(), metrics.ready.labels(IDENTITY)._value.get()


async def test_quiet_partition_is_compacted_after_its_daily_marker(feed, kafka_admin):
    await let_compact(kafka_admin, feed.topic)
    for version in (10, 20):
        await feed.send([upsert(1, version)])
    now = [0.0]
    marking = Marking(feed.kafka, feed.topic, 12, clock=lambda: now[0])
    await asyncio.to_thread(marking.write_if_due)
    assert [each for each in await all_records(feed) if each.key == MARKER_KEY] == []
    now[0] = 3601.0
    await asyncio.sleep(0.1)  # not for luck: a segment ends with what is appended 50 ms after its first record
    await asyncio.to_thread(marking.write_if_due)
    await asyncio.to_thread(marking.write_if_due)
    assert sorted(each.partition for each in await all_records(feed) if each.key == MARKER_KEY) == list(range(12))
    await until_records(feed, key(1).encode(), lambda n: n == 1)


async def test_publisher_that_runs_for_long_writes_markers(feed, kafka, topic_prefix, monkeypatch):
    monkeypatch.setattr("producers.marking.FIRST_SECONDS", 0.1)
    async with Publisher(publisher_settings(kafka, topic_prefix, registers=(IDENTITY,))) as publisher:
        await until_records(feed, MARKER_KEY, lambda n: n >= 12)
        await publisher.publish(IDENTITY, person(1))


async def all_records(feed: Feed):
    return await records(feed.kafka.bootstrap_servers, feed.topic)


async def until_records(feed: Feed, key: bytes, enough) -> None:
    """Until the topic has so many records of a key."""
    async with asyncio.timeout(30):
        while not enough(len([each for each in await all_records(feed) if each.key == key])):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
