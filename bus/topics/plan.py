"""What would have to be done so that the cluster's topics are those of the catalogue."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bus.catalog import HOUR_MS, Catalog, Register
from bus.names import TopicName
from bus.topics.facts import MISSING, NEW_GENERATION, TopicFacts, partitions

COPIES = 3
"""Replicas of a partition where the cluster has that many brokers: one may fail while another is being repaired."""


DEAD_LETTER_BYTES = 2 * 1024 * 1024
"""The largest event that the registers' topics take (1 MiB by Kafka's default), and the headers."""


@dataclass(frozen=True, slots=True)
class WantedTopic:
    name: TopicName
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alteration:
    """One configuration entry whose value on the cluster is not the wanted one."""

    topic: TopicName
    key: str
    found: str | None
    wanted: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """A difference that no one may alter in place."""

    topic: TopicName
    what: Literal["partitions", "replication"]
    found: int
    wanted: int

    @property
    def remedy(self) -> str:
        if self.what == "partitions":
            return f"has {partitions(self.found)}, the catalogue says {self.wanted}; {NEW_GENERATION}"
        return (
            f"has a replication factor of {self.found}, {self.wanted} is wanted; move it with Kafka's own "
            "kafka-reassign-partitions"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    create: tuple[WantedTopic, ...] = ()
    alter: tuple[Alteration, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    unchanged: int = 0
    """Topics that are as the catalogue wants them."""

    @property
    def pending(self) -> bool:
        """Whether applying would change anything."""
        return bool(self.create or self.alter)

    @property
    def mismatched(self) -> tuple[Stuck, ...]:
        """Wrong partition counts: adapters refuse such a topic and replicas halt at it."""
        return tuple(each for each in self.stuck if each.what == "partitions")


def wanted_topics(catalog: Catalog, registers: Iterable[Register], brokers: int) -> tuple[WantedTopic, ...]:
    """Every topic of these registers, as it should be on a cluster of so many brokers."""
    return tuple(
        wanted(name, register.partitions, register.topic_config, brokers)
        for register in registers
        for name in catalog.topics(register)
    )


def dead_letter_topic(catalog: Catalog, brokers: int, found: TopicFacts = MISSING) -> WantedTopic:
    """The topic of parked events: compacted by origin, and gone after its retention, tombstones too.

    Nothing hangs on its partition count, so that one made with another is as good.
    """
    retention = str(catalog.dead_letters.retention_hours * HOUR_MS)
    config = {
        "cleanup.policy": "compact,delete",
        "retention.ms": retention,
        "delete.retention.ms": retention,
        "max.compaction.lag.ms": retention,
        "max.message.bytes": str(DEAD_LETTER_BYTES),
        "min.insync.replicas": "2",
    }
    return wanted(catalog.dead_letter_topic, found.partitions or catalog.dead_letters.partitions, config, brokers)


def wanted(name: TopicName, count: int, config: Mapping[str, str], brokers: int) -> WantedTopic:
    """One topic scaled to the cluster: ``min.insync.replicas`` leaves room for one broker to be away."""
    replication = min(COPIES, max(1, brokers))
    given = int(config.get("min.insync.replicas", "1"))
    scaled = {**config, "min.insync.replicas": str(min(given, max(1, replication - 1)))}
    return WantedTopic(name, count, replication, scaled)


def plan(wished: Iterable[WantedTopic], found: Mapping[TopicName, TopicFacts]) -> Plan:
    """The differences, in the order of ``wished``. Topics that nobody wishes for are nobody's business here."""
    create: list[WantedTopic] = []
    alter: list[Alteration] = []
    stuck: list[Stuck] = []
    unchanged = 0
    for topic in wished:
        facts = found.get(topic.name, MISSING)
        if facts.missing:
            create.append(topic)
            continue
        alterations, differences = _alterations(topic, facts), _stuck(topic, facts)
        alter += alterations
        stuck += differences
        unchanged += not alterations and not differences
    return Plan(tuple(create), tuple(alter), tuple(stuck), unchanged)


def _alterations(topic: WantedTopic, facts: TopicFacts) -> list[Alteration]:
    return [
        Alteration(topic.name, key, facts.config.get(key), value)
        for key, value in topic.config.items()
        if facts.config.get(key) != value
    ]


def _stuck(topic: WantedTopic, facts: TopicFacts) -> list[Stuck]:
    differences: list[Stuck] = []
    if facts.partitions != topic.partitions:
        differences.append(Stuck(topic.name, "partitions", facts.partitions, topic.partitions))
    if facts.replication != topic.replication:
        differences.append(Stuck(topic.name, "replication", facts.replication, topic.replication))
    return differences
