"""Topics on a real cluster, through librdkafka's admin client: its futures are awaited, its errors become ours."""

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from bus.errors import BrokerUnavailable
from bus.kafka import reach, told_plainly
from bus.names import TopicName
from bus.settings import KafkaSettings
from bus.topics.facts import MISSING, TopicFacts
from bus.topics.plan import Alteration, Plan, WantedTopic

READY_SECONDS = 15
"""For every partition of a new topic to get a leader; a healthy cluster takes well under one."""
POLL_SECONDS = 0.05


async def describe(admin: AdminClient, topics: Collection[TopicName]) -> Mapping[TopicName, TopicFacts]:
    """Id, partitions and copies of each topic asked for; one that is not there is in the answer, without partitions.

    Raises BrokerUnavailable.
    """
    if not topics:
        return {}
    with admin_told_plainly():
        asked = admin.describe_topics(TopicCollection(list(topics)))
        return {TopicName(name): await _facts(future) for name, future in asked.items()}


async def describe_with_config(admin: AdminClient, topics: Collection[TopicName]) -> Mapping[TopicName, TopicFacts]:
    """As ``describe``, with each topic's configuration as it is in effect.

    A topic that one broker has and the next one asked has not heard of, or no longer has, counts as missing.
    """
    found = await describe(admin, topics)
    there = [name for name, facts in found.items() if not facts.missing]
    if not there:
        return found
    with admin_told_plainly():
        asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in there])
        config = {
            TopicName(resource.name): await _unless(future, KafkaError.UNKNOWN_TOPIC_OR_PART)
            for resource, future in asked.items()
        }
    return {name: _configured(facts, config.get(name)) for name, facts in found.items()}


def _configured(facts: TopicFacts, config: Mapping[str, Any] | None) -> TopicFacts:
    if config is None:
        return MISSING
    return replace(facts, config={key: entry.value for key, entry in config.items()})


async def count_brokers(admin: AdminClient, settings: KafkaSettings) -> int:
    """Brokers that the cluster has now. Raises BrokerUnavailable."""
    await reach(settings)
    with told_plainly(settings):
        metadata = await asyncio.to_thread(admin.list_topics, timeout=settings.request_timeout_ms / 1000)
    return len(metadata.brokers)


async def apply(admin: AdminClient, plan: Plan) -> None:
    """Make and alter what the plan says. New topics can be written to afterwards; doing it twice does nothing more."""
    await create(admin, plan.create)
    await alter(admin, plan.alter)


async def create(admin: AdminClient, topics: Collection[WantedTopic]) -> None:
    """Make these topics and wait until each partition has a leader. One that somebody else made first is fine."""
    if not topics:
        return
    with admin_told_plainly():
        asked = admin.create_topics(
            [NewTopic(topic.name, topic.partitions, topic.replication, config=dict(topic.config)) for topic in topics],
        )
        for future in asked.values():
            await _unless(future, KafkaError.TOPIC_ALREADY_EXISTS)
    await _await_leaders(admin, {topic.name for topic in topics})


async def alter(admin: AdminClient, alterations: Iterable[Alteration]) -> None:
    """Set single entries of topics' configurations; doing it twice does nothing more. Raises BrokerUnavailable."""
    resources: dict[TopicName, ConfigResource] = {}
    for each in alterations:
        resource = resources.setdefault(each.topic, ConfigResource(ResourceType.TOPIC, each.topic))
        resource.add_incremental_config(
            ConfigEntry(each.key, each.wanted, incremental_operation=AlterConfigOpType.SET),
        )
    if resources:
        with admin_told_plainly():
            for future in admin.incremental_alter_configs(list(resources.values())).values():
                await asyncio.wrap_future(future)


async def _await_leaders(admin: AdminClient, topics: Collection[TopicName]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not await asyncio.to_thread(_all_led, admin, topics):
        if time.monotonic() > deadline:
            raise BrokerUnavailable(
                f"new topics have no leader after {READY_SECONDS} s; check that the brokers see each other",
            )
        await asyncio.sleep(POLL_SECONDS)


def _all_led(admin: AdminClient, topics: Collection[TopicName]) -> bool:
    """Whether clients that ask for metadata now would find where to send to."""
    with admin_told_plainly():
        known = admin.list_topics(timeout=READY_SECONDS).topics
    return all(
        name in known
        and known[name].error is None
        and known[name].partitions
        and all(partition.leader >= 0 for partition in known[name].partitions.values())
        for name in topics
    )


async def _facts(future: "Future[Any]") -> TopicFacts:
    found = await _unless(future, KafkaError.UNKNOWN_TOPIC_OR_PART)
    if found is None:
        return MISSING
    copies = max((len(partition.replicas) for partition in found.partitions), default=0)
    return TopicFacts(str(found.topic_id), len(found.partitions), copies)


async def _unless(future: "Future[Any]", code: int) -> Any:
    """The future's result; None where it failed with this one code."""
    try:
        return await asyncio.wrap_future(future)
    except KafkaException as error:
        if error.args[0].code() == code:
            return None
        raise


@contextmanager
def admin_told_plainly() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        reason = error.args[0].str() if error.args else "no answer"
        raise BrokerUnavailable(
            f"Kafka: {reason}; check that it runs, its address, and what this user may do"
        ) from error
