"""A register moved to a new generation of its topic: nothing lost, doubled or out of order, whoever dies when."""

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from bus.catalog import load_catalog
from bus.cli import main
from bus.envelope import version_of
from bus.errors import BusError, ClusterMismatch, Fenced, Unavailable
from bus.names import RegisterName
from bus.topics.cluster import create, describe
from bus.topics.plan import wanted
from consumers.replica import ReplicaDaemon
from consumers.settings import ReplicaSettings
from consumers.stores import open_reader, open_store
from producers import Publisher
from tests.consuming import Feed, catch_up, delete, held, merge, replica_settings, until, upsert
from tests.producing import IDENTITY, person, prepare, publisher_settings, records

SHIPPED = Path(__file__).parents[2] / "schemas" / "catalog.toml"


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


@pytest.fixture
def next_catalog(tmp_path) -> Path:
    """The shipped catalogue with what ``repartition --partitions 5`` prints."""
    path = tmp_path / "catalog.toml"
    head = f'[registers."{IDENTITY}"]\n'
    path.write_text(SHIPPED.read_text("utf-8").replace(head, f"{head}partitions = 5\ngeneration = 2\n"), "utf-8")
    return path


@pytest.fixture
def arguments(kafka, topic_prefix):
    return ["topics", "repartition", IDENTITY, "--partitions", "5", "--kafka", kafka, "--prefix", topic_prefix]


@pytest.fixture
def repartition(arguments, capsys):
    def run(*more: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main([*arguments, *more])
        out, error = capsys.readouterr()
        return int(exited.value.code or 0), out, error

    return run


async def killed(arguments, at: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bus", *arguments, "--yes", env={"LIENTHONG_CRASH_AT": at}, stderr=asyncio.subprocess.PIPE
    )
    await process.communicate()
    return process.returncode


def by_key(found) -> dict[bytes, list[int]]:
    """Versions of each key in the order of their offsets."""
    laid = defaultdict(list)
    for each in found:
        laid[each.key].append(version_of(each.value, each.headers))
    return dict(laid)


async def test_killed_at_every_step_it_ends_with_each_record_once_and_in_order(feed, arguments, repartition):
    for version in (10, 20, 30):
        await feed.send([upsert(number, version * 100 + number) for number in range(40)])
    await feed.send([delete(1, 9000), merge(2, 3, 9001), upsert(1, 9002)])
    before = await records(feed.kafka.bootstrap_servers, feed.topic)
    for point in ("repartition.copied", "repartition.sealed", "repartition.filled"):
        assert await killed(arguments, point) == -9
    code, out, _ = await asyncio.to_thread(repartition, "--yes")
    assert (code, "generation = 2" in out) == (0, True)
    after = await records(feed.kafka.bootstrap_servers, f"{feed.topic}.g2")
    assert by_key(after) == by_key(before)
    for partition in range(5):
        versions = [version_of(each.value, each.headers) for each in after if each.partition == partition]
        assert versions == sorted(versions)
    code, out, _ = await asyncio.to_thread(repartition, "--yes", "--json")
    assert (code, json.loads(out)["topics"][0]["done"]) == (0, True)
    assert len(await records(feed.kafka.bootstrap_servers, f"{feed.topic}.g2")) == len(after)


async def test_writers_are_sent_on_and_replicas_rebuild_from_the_new_generation(
    feed, kafka, topic_prefix, repartition, next_catalog, tmp_path
):
    settings = replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])
    async with (
        Publisher(publisher_settings(kafka, topic_prefix)) as plain,
        Publisher(publisher_settings(kafka, topic_prefix, exclusive=True)) as exclusive,
    ):
        first = await plain.publish(IDENTITY, person(1))
        await exclusive.publish(IDENTITY, person(2))
        await catch_up(settings)
        assert (await asyncio.to_thread(repartition, "--yes"))[0] == 0
        with pytest.raises(Fenced):
            await exclusive.publish(IDENTITY, person(2))
        with pytest.raises(BusError):
            await plain.publish(IDENTITY, person(3))
    async with Publisher(publisher_settings(kafka, topic_prefix)) as late:
        with pytest.raises(ClusterMismatch, match="generation = 2"):
            await late.publish(IDENTITY, person(3))
    await replica_of_old_catalogue_says_so(settings)

    there = publisher_settings(kafka, topic_prefix, catalog=next_catalog)
    async with Publisher(there) as publisher:
        receipt = await publisher.publish(IDENTITY, person(1, full_name="Lê Thị Mới"))
    assert receipt.topic == f"{feed.topic}.g2"
    assert receipt.version > first.version
    await catch_up_with(settings, next_catalog)
    rows = held(settings)
    assert set(rows) == {person(1)["personal_id"], person(2)["personal_id"]}
    assert rows[person(1)["personal_id"]]["full_name"] == "Lê Thị Mới"
    with open_reader(settings.replica.database) as reader:
        assert reader.status(RegisterName(IDENTITY)).generation == 2


async def replica_of_old_catalogue_says_so(settings: ReplicaSettings) -> None:
    """It has all that there is, and tells what it needs."""
    daemon = ReplicaDaemon(
        settings, load_catalog(prefix=settings.replica.prefix), open_store(settings.replica.database)
    )
    task = asyncio.create_task(daemon.run())
    await until(lambda: task.done() or "generation = 2" in daemon.unready().get(IDENTITY, ""))
    daemon.stop()
    await task


async def catch_up_with(settings: ReplicaSettings, catalog: Path) -> None:
    known = load_catalog(catalog, prefix=settings.replica.prefix)
    await ReplicaDaemon(settings, known, open_store(settings.replica.database)).run(until_caught_up=True)


async def test_generation_that_is_still_filled_is_neither_read_nor_written(
    feed, kafka, topic_prefix, kafka_admin, next_catalog, tmp_path
):
    await create(kafka_admin, [wanted(f"{feed.topic}.g2", 5, feed.register.topic_config, brokers=1)])
    async with Publisher(publisher_settings(kafka, topic_prefix, catalog=next_catalog)) as publisher:
        with pytest.raises(Unavailable, match="repartition"):
            await publisher.publish(IDENTITY, person(1))


async def test_dry_run_and_a_run_without_consent_change_nothing(feed, kafka_admin, repartition):
    await feed.send([upsert(1, 10)])
    code, out, _ = await asyncio.to_thread(repartition, "--dry-run", "--json")
    [topic] = json.loads(out)["topics"]
    assert (code, topic["from"], topic["to"], topic["offsets"]) == (0, feed.topic, f"{feed.topic}.g2", 1)
    code, _, error = await asyncio.to_thread(repartition)
    assert (code, "--yes" in error) == (5, True)
    assert (await describe(kafka_admin, [f"{feed.topic}.g2"]))[f"{feed.topic}.g2"].missing
    assert (await asyncio.to_thread(repartition, "--partitions", "12"))[0] == 3


async def test_foreign_records_in_the_new_generation_are_not_added_to(feed, kafka_admin, repartition):
    await feed.send([upsert(1, 10)])
    other = Feed.__new__(Feed)
    other.__dict__ = {**feed.__dict__, "topic": f"{feed.topic}.g2"}
    await create(kafka_admin, [wanted(other.topic, 5, feed.register.topic_config, brokers=1)])
    await other.send_raw(b"k", b"v")
    code, _, error = await asyncio.to_thread(repartition, "--yes")
    assert (code, "nobody knows" in error) == (7, True)
