"""Looks at the bus as one adapter meets it: broker, topic, schema, code lists, and what its user may do there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation

from bus import kafka
from bus.catalog import Catalog, Register
from bus.codes import Codebook, open_codes
from bus.errors import BusError, ConfigInvalid
from bus.names import AgencyCode, TopicName
from bus.registry import open_registry
from bus.registry.base import SchemaRegistry
from bus.schema.avsc import load_register
from bus.settings import KafkaSettings
from bus.topics.cluster import count_brokers
from producers.adapter.findings import Checklist
from producers.adapter.settings import Bus
from producers.release import Release, newest_release
from producers.topic import own_topic

PROBE = "check"
"""In place of a shard's number: an id that no adapter runs under, so that looking ends none."""
PROBE_SECONDS = 15
DENIED = (
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a register's rows have to keep."""

    register: Register
    agency: AgencyCode
    release: Release
    codes: Codebook


@dataclass(frozen=True, slots=True)
class BusSide:
    """The bus while its registry is open."""

    bus: Bus
    catalog: Catalog
    registry: SchemaRegistry
    found: Checklist

    async def terms(self, name: str, agency: str) -> Terms | None:
        """By what rows of this register are judged; None where that could not be learnt, which has been told."""
        register = own = topic = None
        with self.found.looking(name, "catalogue"):
            register, own = self.catalog.register(name), self.catalog.agency(agency)
            topic = register.topic(own)
            self.found.add(name, "catalogue", f"{own} is its writer, to the topic {topic}")
        if register is None or own is None or topic is None:
            return None
        await self._topic(register, topic)
        return await self._terms(register, own)

    async def _topic(self, register: Register, topic: TopicName) -> None:
        with self.found.looking(register.name, "topic"):
            facts = await own_topic(self.bus.kafka, register, topic)
            self.found.add(register.name, "topic", f"{topic} is there, {facts.partitions} partitions as the catalogue")
            await self._rights(register, topic)

    async def _rights(self, register: Register, topic: TopicName) -> None:
        with self.found.looking(register.name, "rights"):
            await _may_write(self.bus.kafka, topic)
            await asyncio.to_thread(_may_transact, self.bus.kafka, topic)
            told = f"may write {topic} in transactions {topic}-adapter-…; nothing was sent"
            self.found.add(register.name, "rights", told)

    async def _terms(self, register: Register, agency: AgencyCode) -> Terms | None:
        codes = release = None
        with self.found.looking(register.name, "code lists"):
            codes = await open_codes(self.bus, self.catalog, self.registry)
            self.found.add(register.name, "code lists", codes.told(), "look" if codes.missed else "fine")
        if codes is None:
            return None
        with self.found.looking(register.name, "schema"):
            release = await newest_release(register, self.registry, self.bus.schemas, codes.rules)
            newest = load_register(register.name, self.bus.schemas)[-1].version
            if release.schema.version < newest:
                told = f"version {release.schema.version} is released, {newest} is not: lienthong schemas publish"
                self.found.add(register.name, "schema", told, "look")
            else:
                self.found.add(register.name, "schema", f"version {newest} is released, id {release.schema_id}")
        return Terms(register, agency, release, codes) if release else None


@asynccontextmanager
async def bus_side(bus: Bus, catalog: Catalog, found: Checklist) -> AsyncIterator[BusSide | None]:
    """None where no broker answers, which has been told."""
    try:
        async with kafka.consumer(bus.kafka):  # fails at once where the admin client would wait for its timeout
            brokers = await count_brokers(kafka.admin(bus.kafka), bus.kafka)
    except BusError as error:
        found.add("bus", "broker", str(error), "wrong", error.exit_code)
        yield None
        return
    found.add("bus", "broker", f"{bus.kafka.bootstrap_servers} answers, brokers: {brokers}")
    async with open_registry(bus.registry, bus.kafka) as registry:
        yield BusSide(bus, catalog, registry, found)


async def _may_write(settings: KafkaSettings, topic: TopicName) -> None:
    """By what the broker says this user may do. Raises ConfigInvalid."""
    admin = kafka.admin(settings)
    with kafka.told_plainly(settings):
        asked = admin.describe_topics(TopicCollection([topic]), include_authorized_operations=True)
        found = await asyncio.wrap_future(asked[topic])
    allowed = set(found.authorized_operations or ())
    missing = [each.name for each in (AclOperation.WRITE, AclOperation.READ) if allowed and each not in allowed]
    if missing:
        raise ConfigInvalid(f"{topic}: this user may not {' and '.join(missing)}; ask the platform for its ACLs")


def _may_transact(settings: KafkaSettings, topic: TopicName) -> None:
    """By starting a transactional producer that no other has the id of, and leaving again. Raises ConfigInvalid."""
    name = f"{topic}-adapter-{PROBE}"
    client = kafka.transactional(settings, name)
    with kafka.told_plainly(settings):
        try:
            client.init_transactions(PROBE_SECONDS)
        except KafkaException as error:
            if error.args[0].code() in DENIED:
                raise ConfigInvalid(
                    f"{topic}: this user may not write in transactions; the platform has to allow transactional ids "
                    f"that begin with {topic}-adapter-"
                ) from error
            raise
