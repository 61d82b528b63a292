"""The Publisher against a real Kafka."""

import asyncio
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka.admin import NewTopic

from bus.errors import (
    BrokerUnavailable,
    ClusterMismatch,
    Fenced,
    NotTheWriter,
    RegisterUnknown,
    StateInvalid,
)
from bus.event import MARKER_KEY, Op
from bus.headers import read_tombstone
from bus.models import ResidentIdentity
from producers import BlockingPublisher, Publisher
from producers.partition import partition_of
from tests.producing import (
    CASE,
    IDENTITY,
    WARD,
    events,
    person,
    prepare,
    publisher_settings,
    records,
)

TOPIC = "{}." + IDENTITY


async def test_published_state_is_on_the_topic_as_its_receipt_says(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    when = datetime(2026, 7, 6, 1, 30, tzinfo=UTC)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        receipt = await publisher.publish(IDENTITY, person(7), occurred_at=when, traceparent=trace)
    [event] = await events(kafka, topic_prefix)
    [record] = await records(kafka, TOPIC.format(topic_prefix))
    assert (event.event_id, event.version) == (receipt.event_id, receipt.version)
    assert (record.partition, record.offset) == (receipt.partition, receipt.offset)
    assert record.partition == partition_of(person(7)["personal_id"], 12)
    assert (event.op, event.occurred_at, event.state) == (Op.UPSERT, when, person(7))
    assert dict(record.headers)["traceparent"] == trace.encode()


async def test_generated_model_is_published_as_its_fields(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        await publisher.publish(IDENTITY, ResidentIdentity(**person(1)))
    assert [event.state for event in await events(kafka, topic_prefix)] == [person(1)]


async def test_delete_is_an_event_and_a_tombstone_that_says_the_same(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        await publisher.publish(IDENTITY, person(1))
        receipt = await publisher.delete(IDENTITY, person(1)["personal_id"])
    upsert, delete, tombstone = await records(kafka, TOPIC.format(topic_prefix))
    assert tombstone.value is None
    assert (delete.offset, tombstone.offset) == (receipt.offset, receipt.offset + 1)
    told = read_tombstone(tombstone.headers)
    assert (told.version, told.event_id) == (receipt.version, str(receipt.event_id))
    assert [event.op for event in await events(kafka, topic_prefix)] == [Op.UPSERT, Op.DELETE]
    assert upsert.offset < delete.offset


async def test_merge_names_the_key_that_lives_on_and_leaves_no_tombstone(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    old, new = person(1)["personal_id"], person(2)["personal_id"]
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        await publisher.merge(IDENTITY, old, new)
        with pytest.raises(StateInvalid, match="differs"):
            await publisher.merge(IDENTITY, old, old)
    [event] = await events(kafka, topic_prefix)
    assert (event.op, event.key, event.replaced_by, event.state) == (Op.MERGE, old, new, None)
    assert len(await records(kafka, TOPIC.format(topic_prefix))) == 1


async def test_refused_state_names_field_and_rule_but_no_value_and_sends_nothing(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        with pytest.raises(StateInvalid) as refused:
            await publisher.publish_many(IDENTITY, [person(1), person(2, sex="boy", full_name=" secret")])
        with pytest.raises(StateInvalid, match="personal_id: pattern"):
            await publisher.delete(IDENTITY, "12")
        with pytest.raises(StateInvalid, match="time zone"):
            await publisher.publish(IDENTITY, person(1), occurred_at=datetime(2026, 1, 1))  # noqa: DTZ001
    assert "[1]: full_name: text" in str(refused.value)
    assert "sex: codes" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert await records(kafka, TOPIC.format(topic_prefix)) == []


async def test_only_the_writer_may_publish_and_only_its_own_keys(kafka, topic_prefix):
    await prepare(kafka, topic_prefix, [IDENTITY, CASE])
    async with Publisher(publisher_settings(kafka, topic_prefix, agency=WARD)) as publisher:
        with pytest.raises(NotTheWriter, match=r"H29\.5"):
            await publisher.publish(IDENTITY, person(1))
        with pytest.raises(RegisterUnknown):
            await publisher.publish("resident.shoes", {})
        with pytest.raises(StateInvalid, match=r"dossier_code: writer: .*H29\.101-"):
            await publisher.delete(CASE, "H29.102-260706-0001")


async def test_missing_topic_wrong_partition_count_and_unreleased_schema_are_named(kafka, topic_prefix, kafka_admin):
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        with pytest.raises(ClusterMismatch, match="lienthong topics apply"):
            await publisher.publish(IDENTITY, person(1))
        topic = TOPIC.format(topic_prefix)
        kafka_admin.create_topics([NewTopic(topic, 3, 1)])[topic].result()
        with pytest.raises(ClusterMismatch, match="3 partitions"):
            await publisher.publish(IDENTITY, person(1))
        other = f"{topic_prefix}.resident.residence"
        kafka_admin.create_topics([NewTopic(other, 12, 1)])[other].result()
        with pytest.raises(ClusterMismatch, match="lienthong schemas publish"):
            await publisher.delete("resident.residence", person(1)["personal_id"])


async def test_offset_order_is_version_order_under_concurrent_calls(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    stopped = datetime.now(UTC)
    async with Publisher(publisher_settings(kafka, topic_prefix), now=lambda: stopped) as publisher:
        receipts = await asyncio.gather(
            *(publisher.publish(IDENTITY, person(number % 7, full_name=f"Lần {number}")) for number in range(300))
        )
    found = await events(kafka, topic_prefix)
    by_key = defaultdict(list)
    for event in found:
        by_key[event.key].append(event)
    assert len(found) == len({receipt.event_id for receipt in receipts}) == 300
    for changes in by_key.values():
        assert [event.version for event in changes] == sorted({event.version for event in changes})
        names = [int(event.state["full_name"].split()[1]) for event in changes]
        assert names == sorted(names), "calls take effect in the order in which they were made"


async def test_clock_that_went_back_between_restarts_yields_no_lower_version(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    settings = publisher_settings(kafka, topic_prefix)
    ahead = datetime.now(UTC) + timedelta(minutes=50)  # Kafka itself refuses records from more than an hour ahead
    async with Publisher(settings, now=lambda: ahead) as publisher:
        first = await publisher.publish(IDENTITY, person(1))
        gone = await publisher.delete(IDENTITY, person(1)["personal_id"])
    async with Publisher(settings, now=lambda: ahead - timedelta(days=900)) as publisher:
        again = await publisher.publish(IDENTITY, person(1))
    assert first.version < gone.version < again.version == gone.version + 1


async def test_clock_far_ahead_is_named_as_the_cause(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    ahead = datetime.now(UTC) + timedelta(hours=2)
    async with Publisher(publisher_settings(kafka, topic_prefix), now=lambda: ahead) as publisher:
        with pytest.raises(BrokerUnavailable, match="clock"):
            await publisher.publish(IDENTITY, person(1))


async def test_high_water_is_found_behind_markers_and_aborted_transactions(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    settings = publisher_settings(kafka, topic_prefix, exclusive=True)
    far = datetime.now(UTC) + timedelta(minutes=50)
    async with Publisher(settings, now=lambda: far) as publisher:
        before = await publisher.publish(IDENTITY, person(1))
        client = publisher._opened[IDENTITY].lane._client
        for _ in range(300):
            await client.begin_transaction()
            await client.send(before.topic, b"m", MARKER_KEY, partition=before.partition)
            await client.commit_transaction()
    async with Publisher(settings, now=lambda: far - timedelta(days=900)) as publisher:
        assert (await publisher.publish(IDENTITY, person(1))).version == before.version + 1


async def test_second_exclusive_publisher_fences_the_first(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    settings = publisher_settings(kafka, topic_prefix, exclusive=True, registers=(IDENTITY,))
    async with Publisher(settings) as first:
        await first.publish(IDENTITY, person(1))
        async with Publisher(settings) as second:
            await second.publish(IDENTITY, person(2))
            with pytest.raises(Fenced, match="taken over"):
                await first.publish(IDENTITY, person(3))
            with pytest.raises(Fenced, match="open a new one"):
                await first.publish(IDENTITY, person(4))
            many = await second.publish_many(IDENTITY, [person(number) for number in range(20)])
    assert len(many) == 20
    assert len(await events(kafka, topic_prefix)) == 22


async def test_closed_publisher_says_so_and_closing_twice_does_nothing(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    publisher = Publisher(publisher_settings(kafka, topic_prefix))
    with pytest.raises(BrokerUnavailable, match="async with"):
        await publisher.publish(IDENTITY, person(1))
    async with publisher:
        await publisher.publish(IDENTITY, person(1))
    await publisher.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        await publisher.publish(IDENTITY, person(1))


async def test_closing_sends_what_is_still_queued(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        await publisher.publish(IDENTITY, person(1))
        waiting = [asyncio.create_task(publisher.publish(IDENTITY, person(number))) for number in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(await asyncio.gather(*waiting)) == 50


async def test_no_broker_is_one_clear_error(topic_prefix):
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        async with Publisher(publisher_settings("127.0.0.1:1", topic_prefix, registers=(IDENTITY,))):
            pass


def test_blocking_publisher_serves_several_threads_and_raises_the_same_errors(kafka, topic_prefix):
    asyncio.run(prepare(kafka, topic_prefix))
    receipts = []
    with BlockingPublisher(publisher_settings(kafka, topic_prefix)) as publisher:
        threads = [
            threading.Thread(target=lambda n=n: receipts.append(publisher.publish(IDENTITY, person(n))))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(StateInvalid, match="sex: codes"):
            publisher.publish(IDENTITY, person(1, sex="boy"))
        publisher.publish_many(IDENTITY, [person(20), person(21)])
        publisher.delete(IDENTITY, person(20)["personal_id"])
        publisher.merge(IDENTITY, person(21)["personal_id"], person(1)["personal_id"])
    publisher.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        publisher.publish(IDENTITY, person(1))
    assert len({receipt.event_id for receipt in receipts}) == 8
    assert len(asyncio.run(events(kafka, topic_prefix))) == 12
