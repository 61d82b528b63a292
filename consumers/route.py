"""Where a register comes from: its topics, their writers and ids, checked against the catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from bus.catalog import Catalog, Register
from bus.names import AgencyCode, TopicName
from bus.topics import check_partitions, describe
from consumers.stores.base import Partition


@dataclass(frozen=True, slots=True)
class Source:
    """Whose topic a record came from."""

    writer: AgencyCode
    topic_id: str


@dataclass(frozen=True, slots=True)
class Route:
    register: Register
    sources: Mapping[TopicName, Source]
    partitions: Sequence[Partition]

    def ids(self) -> dict[Partition, str]:
        """Every partition with its topic's id, by which a topic made again is noticed."""
        return {at: self.sources[at.topic].topic_id for at in self.partitions}


async def find_route(admin: AdminClient, catalog: Catalog, register: Register) -> Route:
    """Raises ClusterMismatch when a topic is missing or has another partition count, BrokerUnavailable."""
    writers = catalog.topics(register)
    facts = await describe(admin, list(writers))
    check_partitions(register, facts)
    return Route(
        register,
        {topic: Source(writer, facts[topic].topic_id) for topic, writer in writers.items()},
        [Partition(topic, number) for topic in writers for number in range(register.partitions)],
    )
