"""The registry that is a topic: nothing to run beside Kafka, and Confluent's own server can serve it read-only."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Self

from aiokafka import TopicPartition

from bus import kafka
from bus.errors import BrokerUnavailable, ClusterMismatch, Fenced, RegistryUnavailable, SchemaUnknown
from bus.names import SchemaId, TopicName
from bus.registry import records
from bus.registry.base import Registered, Schema
from bus.registry.ledger import Ledger
from bus.registry.releasing import settled
from bus.settings import KafkaSettings
from bus.topics.cluster import count_brokers, create, describe, describe_with_config
from bus.topics.facts import TopicFacts
from bus.topics.plan import wanted

TOPIC_CONFIG = {"cleanup.policy": "compact", "min.insync.replicas": "2"}
FETCH_WAIT_MS = 20  # an idle fetch holds up the next question on its connection; between readings the consumer pauses

READ_BACK_SECONDS = 0.01
LOOK_AGAIN_SECONDS = 0.05


class EmbeddedRegistry:
    """Reads the topic once from its beginning, then only what is new, and only when something unknown is asked for.

    Connects on the first question, so that it opens while the cluster is away. A topic that is not there yet is an
    empty registry. Raises RegistryUnavailable from every method when Kafka does not answer.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = TopicName(topic)
        self._partition = TopicPartition(topic, 0)
        self._admin = kafka.admin(settings)
        self._ledger = Ledger()
        self._reading = asyncio.Lock()
        self._publishing = asyncio.Lock()
        self._held = AsyncExitStack()
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._consumer = None
        await self._held.aclose()

    @property
    def skipped(self) -> Mapping[str, int]:
        """Records of the topic that were no schemas for us, by reason."""
        return self._ledger.skipped

    async def identity(self) -> str | None:
        """Kafka's id of the topic: no two registries share it. None while there is no topic."""
        with self._told_plainly():
            facts = await self._facts()
        return facts.topic_id or None

    async def schema(self, schema_id: SchemaId) -> Schema:
        if self._ledger.schema(schema_id) is None:
            await self._catch_up()
        found = self._ledger.schema(schema_id)
        if found is None:
            raise SchemaUnknown(f"schema id {schema_id}: topic {self._topic} has none such; was it published there?")
        return found

    async def versions(self, avro_subject: str) -> tuple[Registered, ...]:
        await self._catch_up()
        return self._ledger.versions(avro_subject)

    async def subjects(self) -> tuple[str, ...]:
        await self._catch_up()
        return self._ledger.subjects()

    async def publish(self, avro_subject: str, text: str) -> Registered:
        """Release one version, alone: a publisher that starts later fences this one, which then raises Fenced.

        Killed anywhere, the release is either there whole or not at all.
        """
        async with self._publishing:
            with self._told_plainly():
                await self._make_topic()
                return await self._settled(avro_subject, text) or await self._release(avro_subject, text)

    async def _release(self, avro_subject: str, text: str) -> Registered:
        async with kafka.producer(self._settings, transactional_id=f"{self._topic}-publisher") as producer:
            # Again, because whoever published before is fenced only now: nothing can come in between any more.
            there = await self._settled(avro_subject, text)
            if there is not None:
                return there
            release = self._ledger.next_release(avro_subject, text)
            key, value = records.write(release)
            with kafka.told_plainly(self._settings):
                async with producer.transaction():
                    await producer.send_and_wait(self._topic, value, key=key, partition=0)
        await self._read_back(release)
        return release

    async def _read_back(self, release: Registered) -> None:
        """Wait until readers see it: a commit is acknowledged before its markers are in the partition."""
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                while release not in await self.versions(release.avro_subject):  # noqa: ASYNC110 - Kafka gives no signal
                    await asyncio.sleep(READ_BACK_SECONDS)
        except TimeoutError as error:
            raise RegistryUnavailable(
                f"{release.avro_subject}: version {release.version} was written to {self._topic} and is not there; "
                "another kind of registry writes this topic, set it to read-only",
            ) from error

    async def _settled(self, avro_subject: str, text: str) -> Registered | None:
        return settled(avro_subject, text, await self.versions(avro_subject))

    async def _catch_up(self) -> None:
        async with self._reading:
            with self._told_plainly():
                if self._consumer is None and not await self._connect():
                    return
                with kafka.told_plainly(self._settings):
                    await self._read_to_end()

    async def _connect(self) -> bool:
        facts = await self._facts()
        if facts.missing:
            return False
        consumer = await self._held.enter_async_context(kafka.consumer(self._settings, fetch_max_wait_ms=FETCH_WAIT_MS))
        consumer.assign([self._partition])
        with kafka.told_plainly(self._settings):
            await consumer.seek_to_beginning(self._partition)
        self._consumer = consumer
        return True

    async def _read_to_end(self) -> None:
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        self._consumer.resume(self._partition)
        try:
            while await self._consumer.position(self._partition) < end:
                async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                    await self._read_on()
        finally:
            self._consumer.pause(self._partition)

    async def _read_on(self) -> None:
        """Take in the next records, however few; a transaction's marker moves the position alone."""
        before = await self._consumer.position(self._partition)
        while await self._consumer.position(self._partition) == before:
            batches = await self._consumer.getmany(self._partition, timeout_ms=FETCH_WAIT_MS)
            for record in batches.get(self._partition, ()):
                self._ledger.add(record.key, record.value)

    async def _facts(self) -> TopicFacts:
        facts = (await describe(self._admin, [self._topic]))[self._topic]
        if facts.partitions > 1:
            raise ClusterMismatch(
                f"topic {self._topic} has {facts.partitions} partitions: schemas are in order only in one; "
                "name another topic with --registry",
            )
        return facts

    async def _make_topic(self) -> None:
        if (await describe(self._admin, [self._topic]))[self._topic].missing:
            brokers = await count_brokers(self._admin, self._settings)
            await create(self._admin, [wanted(self._topic, 1, TOPIC_CONFIG, brokers)])
        policy = (await self._described()).config.get("cleanup.policy")
        if policy != "compact":
            raise ClusterMismatch(
                f"topic {self._topic} has cleanup.policy={policy} and would lose schemas; set it to compact, or name "
                "another topic with --registry",
            )

    async def _described(self) -> TopicFacts:
        """The topic's settings, which is there: a broker that has not heard of a new one yet is asked again."""
        async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
            while (facts := (await describe_with_config(self._admin, [self._topic]))[self._topic]).missing:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return facts

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except (BrokerUnavailable, TimeoutError) as error:
            raise RegistryUnavailable(
                f"schemas topic {self._topic} at {self._settings.bootstrap_servers}: {error or 'no answer'}",
            ) from error
        except Fenced as error:
            raise Fenced(
                f"another `lienthong schemas publish` has taken over {self._topic}; run this one again when it is done",
            ) from error
