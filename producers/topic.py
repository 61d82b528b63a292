"""The one topic that an adapter writes, as the cluster has it."""

from bus import kafka
from bus.catalog import Register
from bus.names import TopicName
from bus.settings import KafkaSettings
from bus.topics.current import check_open, current_topics
from bus.topics.facts import TopicFacts


async def own_topic(settings: KafkaSettings, register: Register, topic: TopicName) -> TopicFacts:
    """Raises BrokerUnavailable, and ClusterMismatch unless the topic is there, with the catalogue's partition count.

    A topic of an earlier generation than the register's is a mismatch too; one that is still being filled from the
    generation before is Unavailable.
    """
    # A consumer's start fails at once and names the address; the admin client would first wait for its timeout.
    async with kafka.consumer(settings):
        facts = await current_topics(kafka.admin(settings), register, [topic])
    check_open(register, facts)
    return facts[topic]
