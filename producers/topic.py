"""The one topic that an adapter writes, as the cluster has it."""

from bus import kafka
from bus.catalog import Register
from bus.names import TopicName
from bus.settings import KafkaSettings
from bus.topics.cluster import describe
from bus.topics.facts import TopicFacts, check_partitions


async def own_topic(settings: KafkaSettings, register: Register, topic: TopicName) -> TopicFacts:
    """Raises BrokerUnavailable, and ClusterMismatch unless the topic is there with the catalogue's partition count."""
    # A consumer's start fails at once and names the address; the admin client would first wait for its timeout.
    async with kafka.consumer(settings):
        facts = await describe(kafka.admin(settings), [topic])
    check_partitions(register, facts)
    return facts[topic]
