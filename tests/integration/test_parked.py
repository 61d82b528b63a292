"""Events that cannot be applied: parked, forwarded, replayed, against real Kafka and both real stores."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bus import metrics
from bus.catalog import load_catalog
from bus.errors import ClusterMismatch, DatabaseUnavailable, ParkedFull, Unavailable
from bus.names import RegisterName
from bus.registry import open_registry
from bus.topics.cluster import alter
from bus.topics.plan import Alteration
from consumers.parked.forwarder import Forwarder
from consumers.parked.replaying import Replayer, Tally
from consumers.parked.selection import Selection
from consumers.stores import open_desk
from tests.consuming import (
    Feed,
    catch_up,
    counters,
    daemon_of,
    delete,
    following,
    held,
    replica_settings,
    until,
    upsert,
)
from tests.parking import GARBAGE, Future, make_dead_letter_topic, parked_in
from tests.producing import IDENTITY, person, prepare, records, registry_settings


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/replica.db"
    return request.getfixturevalue("postgres_database")


on_a_file = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what does not hang on the store."""


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


@pytest.fixture
def future(feed, topic_prefix):
    return Future(feed, topic_prefix)


@pytest.fixture
def settings(kafka, topic_prefix, database):
    return replica_settings(kafka, topic_prefix, database, [IDENTITY])


def key(number: int) -> str:
    return person(number)["personal_id"]


async def replay(settings, *, dry: bool = False) -> Tally:
    """All that is parked, as the command does it."""
    tally = Tally()
    with open_desk(settings.replica.database) as desk:
        async with open_registry(registry_settings(settings.replica.prefix), settings.kafka) as registry:
            replayer = Replayer(desk, load_catalog(prefix=settings.replica.prefix), registry, dry=dry)
            for page in Selection().pages(desk):
                tally += await replayer.replay(page[0].register, page)
    return tally


def forwarder_of(settings, desk) -> Forwarder:
    topic = load_catalog(prefix=settings.replica.prefix).dead_letter_topic
    return Forwarder(desk, asyncio.to_thread, settings.kafka, topic, settings.replica.agency)


async def test_one_poison_event_in_ten_thousand_parks_exactly_that_one(feed, settings):
    await feed.send(upsert(number, 10) for number in range(5_000))
    await feed.send_raw(key(6_000).encode(), GARBAGE)
    await feed.send(upsert(number, 10) for number in range(5_000, 10_000))
    await catch_up(settings)
    assert [each.value for each in parked_in(settings)] == [GARBAGE]
    assert len(held(settings)) == 10_000
    assert counters(settings) == {"applied": 10_000, "parked": 1}


@on_a_file
async def test_batch_that_is_all_poison_still_moves(feed, settings):
    await feed.send([upsert(1, 10)])
    await catch_up(settings)
    await asyncio.gather(*(feed.send_raw(f"{number:012}".encode(), GARBAGE) for number in range(60)))
    await feed.send([upsert(2, 10)])
    await catch_up(settings)
    assert len(parked_in(settings)) == 60
    assert set(held(settings)) == {key(1), key(2)}


async def test_replay_after_the_cause_is_mended_obeys_versions_and_later_events_stay_in_order(feed, future, settings):
    await feed.send([upsert(3, 5), upsert(4, 5)])
    await future.send(*(upsert(number, 10, contact="hộp thư") for number in (1, 2, 3)), delete(4, 10))
    await feed.send([upsert(1, 20)])
    await catch_up(settings)
    assert {each.reason for each in parked_in(settings)} == {"schema_unknown"}
    before = held(settings)
    assert await replay(settings) == Tally(standing={"schema_unknown": 4})
    assert [each.replays for each in parked_in(settings)] == [1] * 4
    assert held(settings) == before
    await future.come()
    assert await replay(settings, dry=True) == Tally(3, 1, 0, {})
    assert len(parked_in(settings)) == 4
    assert await replay(settings) == Tally(3, 1, 0, {})
    assert {number: held(settings)[key(number)]["version"] for number in (1, 2, 3)} == {1: 20, 2: 10, 3: 10}
    assert parked_in(settings) == []
    await feed.send([upsert(4, 7), upsert(2, 5), upsert(3, 30)])
    await catch_up(settings)
    versions = {each: row["version"] for each, row in held(settings).items()}
    assert versions == {key(1): 20, key(2): 10, key(3): 30}
    assert held(settings)[key(2)]["contact"] == "hộp thư"  # rebuilt by now, with the field that the new schema brought


async def test_rebuild_that_can_read_a_parked_event_by_now_leaves_it_applied_and_not_parked(feed, future, settings):
    await future.send(upsert(1, 10, contact="hộp thư"))
    await feed.send_raw(key(7).encode(), GARBAGE)
    await catch_up(settings)
    assert len(parked_in(settings)) == 2
    await future.come()
    await catch_up(settings)
    assert held(settings)[key(1)]["contact"] == "hộp thư"
    assert [each.reason for each in parked_in(settings)] == ["body_invalid"]


async def test_replay_beside_a_running_daemon_takes_nothing_from_it(feed, future, settings):
    await feed.send([upsert(1, 10)])
    async with following(settings) as daemon:
        await future.send(upsert(2, 10, contact=None))
        await until(lambda: len(parked_in(settings)) == 1)
        await future.come()
        assert await replay(settings) == Tally(1, 0, 0, {})
        assert held(settings)[key(2)]["version"] == 10
        await feed.send([upsert(3, 10)], schema_version=0)
        await until(lambda: key(3) in held(settings))
        assert not daemon.unready()
    assert parked_in(settings) == []


@on_a_file
async def test_event_of_a_topic_made_again_is_never_replayed(feed, future, settings, monkeypatch):
    await future.send(upsert(1, 10, contact=None))
    await catch_up(settings)
    await future.come()
    with open_desk(settings.replica.database) as desk:
        positions = type(desk).positions
        monkeypatch.setattr(
            type(desk),
            "positions",
            lambda *given: {at: replace(each, topic_id="another") for at, each in positions(*given).items()},
        )
        assert (await replay(settings)).standing == {"cluster_mismatch": 1}
    assert key(1) not in held(settings)


@on_a_file
async def test_parked_event_is_copied_to_the_dead_letter_topic_with_its_origin(feed, settings, kafka, topic_prefix):
    topic = await make_dead_letter_topic(feed.kafka, topic_prefix)
    await feed.send_raw(key(7).encode(), GARBAGE)
    await feed.send([upsert(1, 10)])
    async with following(settings):
        await until(lambda: [each for each in parked_in(settings) if each.forwarded_at])
    (event,) = parked_in(settings)
    (letter,) = await records(kafka, topic)
    assert (letter.key, letter.value) == (str(event.origin).encode(), GARBAGE)
    assert dict(letter.headers) == {
        "lienthong-reason": b"body_invalid",
        "lienthong-register": IDENTITY.encode(),
        "lienthong-topic": feed.topic.encode(),
        "lienthong-topic-id": event.topic_id.encode(),
        "lienthong-partition": str(event.partition).encode(),
        "lienthong-offset": str(event.offset).encode(),
        "lienthong-agency": b"H29.4",
    }
    assert key(7).encode() not in b"".join([letter.key, *dict(letter.headers).values()])
    with open_desk(settings.replica.database) as desk:
        assert await forwarder_of(settings, desk).forward() == 0


@on_a_file
async def test_forwarder_that_dies_before_it_marks_sends_again_under_the_same_key(feed, settings, kafka, topic_prefix):
    topic = await make_dead_letter_topic(feed.kafka, topic_prefix)
    await feed.send_raw(key(7).encode(), GARBAGE)
    daemon = daemon_of(settings)
    daemon._forwarder._topic = "no-such-topic"
    await daemon.run(until_caught_up=True)
    with open_desk(settings.replica.database) as desk:
        forwarder = forwarder_of(settings, desk)
        mark, desk.mark_forwarded = desk.mark_forwarded, _away
        with pytest.raises(DatabaseUnavailable):
            await forwarder.forward()
        desk.mark_forwarded = mark
        assert await forwarder.forward() == 1
        assert desk.waiting() == 0
    letters = await records(kafka, topic)
    assert len(letters) == 2
    assert len({letter.key for letter in letters}) == 1


def _away(_origins):
    raise DatabaseUnavailable("away for a moment")


@on_a_file
async def test_forwarding_without_a_topic_says_what_to_do(feed, settings):
    await feed.send_raw(key(7).encode(), GARBAGE)
    await catch_up(settings)
    with open_desk(settings.replica.database) as desk:
        with pytest.raises(ClusterMismatch, match="lienthong topics apply"):
            await forwarder_of(settings, desk).forward()
        assert desk.waiting() == 1


async def test_too_many_waiting_stop_the_register_until_the_topic_is_there_and_nothing_is_dropped(
    feed, settings, kafka, topic_prefix, database
):
    settings = replica_settings(kafka, topic_prefix, database, [IDENTITY], max_parked=3, max_batch=5)
    await feed.send([upsert(1, 10)])
    name = RegisterName(IDENTITY)
    async with following(settings) as daemon:
        for number in range(2, 7):
            await feed.send_raw(key(number).encode(), GARBAGE)
            await until(lambda: "paused" in str(daemon.unready()) or len(parked_in(settings)) == number - 1)  # noqa: B023
        await until(lambda: "paused: 3 parked events wait" in daemon.unready().get(name, ""))
        await until(lambda: "lienthong topics apply" in daemon.unready()[name])
        assert metrics.paused.labels(IDENTITY)._value.get() == 1
        assert len(parked_in(settings)) == 3
        await feed.send([upsert(8, 10)])
        topic = await make_dead_letter_topic(feed.kafka, topic_prefix)
        await until(lambda: key(8) in held(settings))
        await until(lambda: [bool(each.forwarded_at) for each in parked_in(settings)] == [True] * 5)
        await until(lambda: not daemon.unready())
        assert metrics.paused.labels(IDENTITY)._value.get() == 0
        await until(lambda: metrics.parked.labels(IDENTITY, "body_invalid")._value.get() == 5)
    assert len(await records(kafka, topic)) == 5
    assert counters(settings) == {"applied": 2, "parked": 5}


@on_a_file
async def test_topic_that_takes_only_smaller_records_is_named_once_and_not_asked_all_the_time(
    feed, kafka, topic_prefix, database, kafka_admin, monkeypatch
):
    monkeypatch.setattr("consumers.parked.forwarder.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("consumers.parked.forwarder.GATHER_SECONDS", 0.0)
    settings = replica_settings(kafka, topic_prefix, database, [IDENTITY], max_parked=2, max_batch=1)
    topic = await make_dead_letter_topic(feed.kafka, topic_prefix)
    await alter(kafka_admin, [Alteration(topic, "max.message.bytes", None, "50")])
    for number in range(3):
        await feed.send_raw(key(number).encode(), GARBAGE, partition=0)
    with capture_logs() as logs:
        daemon = daemon_of(settings)
        task = asyncio.create_task(daemon.run())
        await until(lambda: "2 of them not: too large for its max.message.bytes" in str(daemon.unready()))
        await asyncio.sleep(1)  # not for luck: five looks of the forwarder
        refused = [each["origin"] for each in logs if each["event"] == "dead_letter_refused"]
        assert len(refused) == len(set(refused)) == 2
        await alter(kafka_admin, [Alteration(topic, "max.message.bytes", "50", "1048576")])
        daemon._forwarder._again_at = 0.0
        await until(lambda: [bool(each.forwarded_at) for each in parked_in(settings)] == [True] * 3)
        await until(lambda: not daemon.unready())
        daemon.stop()
        await task


@on_a_file
async def test_stopped_while_it_stands_still_leaves_the_rest_for_the_next_run(
    feed, kafka, topic_prefix, database, monkeypatch
):
    settings = replica_settings(kafka, topic_prefix, database, [IDENTITY], max_parked=1, max_batch=1)
    await asyncio.gather(*(feed.send_raw(f"{number:012}".encode(), GARBAGE) for number in range(4)))
    await feed.send([upsert(1, 10)])
    daemon = daemon_of(settings)
    task = asyncio.create_task(daemon.run())
    await until(lambda: "paused" in str(daemon.unready()))
    daemon.stop()
    await task
    assert 1 <= len(parked_in(settings)) < 4
    with monkeypatch.context() as hasty:
        hasty.setattr("consumers.replica.GIVE_UP_SECONDS", 0.5)
        with pytest.raises(ParkedFull) as told:
            await catch_up(settings)
    assert isinstance(told.value, Unavailable)
    await make_dead_letter_topic(feed.kafka, topic_prefix)
    await catch_up(settings)
    assert len(parked_in(settings)) == 4
    assert set(held(settings)) == {key(1)}
