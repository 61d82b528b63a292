"""The topics of a register's generation, as whoever reads or writes them finds them."""

from collections.abc import Collection, Mapping

from confluent_kafka.admin import AdminClient

from bus.catalog import Register
from bus.errors import ClusterMismatch, Unavailable
from bus.names import TopicName
from bus.topics.cluster import describe_with_config
from bus.topics.facts import TopicFacts, check_partitions


async def current_topics(
    admin: AdminClient, register: Register, topics: Collection[TopicName]
) -> Mapping[TopicName, TopicFacts]:
    """Topics of the register, each with what the catalogue says and all that the one before held.

    Raises ClusterMismatch when one is missing or has another partition count; Unavailable while it is being filled
    from the generation before; BrokerUnavailable.
    """
    before = {topic: register.topic_before(topic) for topic in topics}
    found = await describe_with_config(admin, [*before, *filter(None, before.values())])
    facts = {topic: found[topic] for topic in before}
    check_partitions(register, facts)
    for topic, earlier in before.items():
        if earlier is not None and not found[earlier].missing and not found[earlier].copied:
            raise Unavailable(
                f"{register.name}: {topic} does not have all of {earlier} yet; wait for, or run again, "
                "lienthong topics repartition",
            )
    return facts


def check_open(register: Register, facts: Mapping[TopicName, TopicFacts]) -> None:
    """Raise ClusterMismatch where a topic takes no more events."""
    for topic, fact in facts.items():
        if fact.sealed:
            raise ClusterMismatch(f"{register.name}: {moved_on(register, topic)}")


def moved_on(register: Register, topic: TopicName) -> str:
    return (
        f"{topic} is sealed, as the register goes on in another generation of it; take the catalogue that says "
        f"generation = {register.generation + 1}, or what lienthong topics repartition printed"
    )
