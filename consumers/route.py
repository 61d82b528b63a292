"""Where a register comes from: its topics, their writers and ids, checked against the catalogue."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from bus.catalog import Catalog, Register, stem_of
from bus.names import AgencyCode, TopicName
from bus.topics.current import current_topics, moved_on
from consumers.stores.model import Partition


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
    moved: str = ""
    """That its topics are sealed, as the register goes on in another generation of them; empty while they are not."""

    def ids(self) -> dict[Partition, str]:
        """Every partition with its topic's id, by which a topic made again is noticed."""
        return {at: self.sources[at.topic].topic_id for at in self.partitions}

    def follows_on(self, held: Collection[Partition]) -> bool:
        """Whether these positions are of an earlier generation of one of the topics, and not of that topic itself."""
        topics = {at.topic for at in held}
        earlier = {stem_of(topic) for topic in topics}
        return any(topic not in topics and stem_of(topic) in earlier for topic in self.sources)


async def find_route(admin: AdminClient, catalog: Catalog, register: Register) -> Route:
    """Raises ClusterMismatch when a topic is missing or has another count of partitions.

    Also Unavailable while one is being filled from the generation before.
    """
    writers = catalog.topics(register)
    facts = await current_topics(admin, register, list(writers))
    return Route(
        register,
        {topic: Source(writer, facts[topic].topic_id) for topic, writer in writers.items()},
        [Partition(topic, number) for topic in writers for number in range(register.partitions)],
        next((moved_on(register, topic) for topic, fact in facts.items() if fact.sealed), ""),
    )
