"""The registry in a topic of a real cluster: strangers' records, crashes, rivals, absence."""

import asyncio
import gc
import json

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bus import kafka as clients
from bus import log
from bus.errors import ClusterMismatch, Fenced, RegistryUnavailable, SchemaUnknown
from bus.registry import open_registry
from bus.registry.embedded import EmbeddedRegistry
from bus.settings import KafkaSettings, RegistrySettings
from tests.schemas import schema_text, with_field

TEXT = schema_text()
SUBJECT = "city.code.ward-value"


@pytest.fixture
def settings(kafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka)


@pytest.fixture
def topic(topic_prefix) -> str:
    return f"{topic_prefix}_schemas"


@pytest.fixture
def made_topic(topic, kafka_admin: AdminClient) -> str:
    kafka_admin.create_topics([NewTopic(topic, 1, 1, config={"cleanup.policy": "compact"})])[topic].result()
    return topic


def as_confluent(subject, version, schema_id, text, **more) -> tuple[bytes, bytes]:
    key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
    value = {"subject": subject, "version": version, "id": schema_id, "schema": text, "deleted": False, **more}
    return json.dumps(key).encode(), json.dumps(value).encode()


async def test_topic_that_is_not_there_is_an_empty_registry(settings, topic):
    async with EmbeddedRegistry(settings, topic) as registry:
        assert await registry.versions(SUBJECT) == ()
        assert await registry.identity() is None
        with pytest.raises(SchemaUnknown):
            await registry.schema(1)


async def test_publishing_makes_the_topic_compacted_with_one_partition(settings, topic, kafka_admin):
    async with EmbeddedRegistry(settings, topic) as registry:
        await registry.publish(SUBJECT, TEXT)
        assert await registry.identity()
        assert len(kafka_admin.list_topics(topic).topics[topic].partitions) == 1


async def test_released_record_is_in_confluents_format(settings, topic, kafka):
    async with EmbeddedRegistry(settings, topic) as registry:
        await registry.publish(SUBJECT, TEXT)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed") as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        record = await consumer.getone()
    assert (record.key, json.loads(record.value)) == (
        b'{"keytype":"SCHEMA","subject":"city.code.ward-value","version":1,"magic":1}',
        {"subject": SUBJECT, "version": 1, "id": 1, "schema": TEXT, "deleted": False},
    )


async def test_topic_of_confluents_server_is_read_and_continued(settings, made_topic, kafka):
    second = with_field(TEXT, "note")
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for key, value in [
            (b'{"keytype":"NOOP","magic":0}', None),
            (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"BACKWARD"}'),
            as_confluent(SUBJECT, 1, 11, TEXT, guid="x", ts=5),
            as_confluent("payroll-value", 1, 40, "message M {}", schemaType="PROTOBUF"),
            as_confluent("old-value", 1, 12, second),
            (b'{"keytype":"DELETE_SUBJECT","subject":"old-value","magic":0}', b'{"subject":"old-value","version":1}'),
            (b"rubbish", b"\x00\x01"),
        ]:
            await producer.send_and_wait(made_topic, value, key=key)
    async with EmbeddedRegistry(settings, made_topic) as registry:
        assert [(each.version, each.schema_id) for each in await registry.versions(SUBJECT)] == [(1, 11)]
        assert await registry.subjects() == (SUBJECT, "payroll-value")
        assert registry.skipped == {"other_kind": 2, "garbage": 1}
        assert (await registry.publish(SUBJECT, second)).schema_id == 12
        assert (await registry.publish(SUBJECT, with_field(second, "remark"))).schema_id == 41


async def test_open_reader_sees_what_is_released_later(settings, topic):
    async with EmbeddedRegistry(settings, topic) as reader, EmbeddedRegistry(settings, topic) as writer:
        assert await reader.versions(SUBJECT) == ()
        release = await writer.publish(SUBJECT, TEXT)
        assert await reader.schema(release.schema_id) == json.loads(TEXT)
        second = await writer.publish(SUBJECT, with_field(TEXT, "note"))
        assert await reader.versions(SUBJECT) == (release, second)


async def test_publisher_that_dies_before_its_commit_has_released_nothing(settings, topic):
    async with EmbeddedRegistry(settings, topic) as registry:
        await registry.publish(SUBJECT, TEXT)
        async with clients.producer(settings, transactional_id=f"{topic}-publisher") as dying:
            await dying.begin_transaction()
            key, value = as_confluent(SUBJECT, 2, 2, with_field(TEXT, "lost"))
            await dying.send_and_wait(topic, value, key=key)
            async with EmbeddedRegistry(settings, topic) as reader:
                assert len(await reader.versions(SUBJECT)) == 1
            release = await registry.publish(SUBJECT, with_field(TEXT, "note"))
            assert (release.version, release.schema_id) == (2, 2)
            assert release.schema == json.loads(with_field(TEXT, "note"))


async def test_of_two_rivals_one_is_fenced_and_no_id_is_given_twice(settings, topic):
    async with EmbeddedRegistry(settings, topic) as one, EmbeddedRegistry(settings, topic) as other:
        await one.publish(SUBJECT, TEXT)
        answers = await asyncio.gather(
            one.publish("a", with_field(TEXT, "one")),
            other.publish("b", with_field(TEXT, "other")),
            return_exceptions=True,
        )
        assert all(not isinstance(answer, Exception) or isinstance(answer, Fenced) for answer in answers)
        again = [await one.publish("a", with_field(TEXT, "one")), await other.publish("b", with_field(TEXT, "other"))]
        assert {release.schema_id for release in again} == {2, 3}


async def test_publisher_that_was_overtaken_after_it_began_is_fenced_and_says_so_once(settings, topic, caplog):
    class Overtaken(EmbeddedRegistry):
        """Between its taking over and its writing, a rival publishes."""

        calls = 0

        async def _settled(self, avro_subject, text):
            there = await super()._settled(avro_subject, text)
            self.calls += 1
            if self.calls == 2:
                await rival.publish(SUBJECT, with_field(TEXT, "rival"))
            return there

    log.configure()
    async with EmbeddedRegistry(settings, topic) as rival, Overtaken(settings, topic) as registry:
        await rival.publish(SUBJECT, TEXT)
        with pytest.raises(Fenced, match="has taken over"):
            await registry.publish(SUBJECT, with_field(TEXT, "late"))
        gc.collect()
        assert [release.version for release in await rival.versions(SUBJECT)] == [1, 2]
        again = await registry.publish(SUBJECT, with_field(TEXT, "late"))
        assert (again.version, again.schema_id) == (3, 3)
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_concurrent_publishers_of_one_process_take_turns(settings, topic):
    async with EmbeddedRegistry(settings, topic) as registry:
        releases = await asyncio.gather(*(registry.publish(f"s{n}", with_field(TEXT, f"f{n}")) for n in range(3)))
        assert {release.schema_id for release in releases} == {1, 2, 3}


async def test_topic_with_several_partitions_is_refused(settings, topic, kafka_admin):
    kafka_admin.create_topics([NewTopic(topic, 3, 1)])[topic].result()
    async with EmbeddedRegistry(settings, topic) as registry:
        with pytest.raises(ClusterMismatch, match="3 partitions"):
            await registry.versions(SUBJECT)


async def test_topic_that_forgets_by_age_is_not_published_to(settings, topic, kafka_admin):
    kafka_admin.create_topics([NewTopic(topic, 1, 1, config={"cleanup.policy": "delete"})])[topic].result()
    async with EmbeddedRegistry(settings, topic) as registry:
        with pytest.raises(ClusterMismatch, match="would lose schemas"):
            await registry.publish(SUBJECT, TEXT)


async def test_closed_or_never_asked_registry_closes_again_without_ado(settings, topic):
    registry = EmbeddedRegistry(settings, topic)
    await registry.__aexit__()
    async with registry:
        pass
    await registry.__aexit__()


async def test_no_broker_is_told_with_its_address(topic):
    away = KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_ms=500)
    async with EmbeddedRegistry(away, topic) as registry:
        for question in (registry.schema(1), registry.versions(SUBJECT), registry.publish(SUBJECT, TEXT)):
            with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:1"):
                await question


async def test_opened_registry_answers_from_disk_when_the_cluster_is_gone(settings, topic, tmp_path, monkeypatch):
    where = RegistrySettings(topic=topic, cache_dir=tmp_path)
    async with open_registry(where, settings) as registry:
        release = await registry.publish(SUBJECT, TEXT)
        assert await registry.versions(SUBJECT) == (release,)
    monkeypatch.setattr(EmbeddedRegistry, "_facts", _no_broker)
    async with open_registry(where, settings) as registry:
        assert await registry.versions(SUBJECT) == (release,)
        assert await registry.schema(release.schema_id) == json.loads(TEXT)


async def test_topic_made_again_shares_no_id_with_the_one_before(settings, topic, tmp_path, kafka_admin):
    where = RegistrySettings(topic=topic, cache_dir=tmp_path)
    async with open_registry(where, settings) as registry:
        await registry.publish(SUBJECT, TEXT)
        await registry.versions(SUBJECT)
    kafka_admin.delete_topics([topic])[topic].result()
    async with open_registry(where, settings) as registry:
        await registry.publish(SUBJECT, with_field(TEXT, "note"))
    async with open_registry(where, settings) as registry:
        assert await registry.schema(1) == json.loads(with_field(TEXT, "note"))


async def _no_broker(_self: EmbeddedRegistry) -> None:
    raise RegistryUnavailable("away")
