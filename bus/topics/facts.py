"""What is true of a topic on the cluster, and whether that is what the catalogue says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bus.catalog import Register
from bus.errors import ClusterMismatch
from bus.names import TopicName


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the cluster has it. One that is not there has no id and no partitions."""

    topic_id: str
    """Given by Kafka when the topic is made: a topic that was deleted and made again has another."""
    partitions: int
    replication: int = 0
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> bool:
        return self.partitions == 0

    @property
    def sealed(self) -> bool:
        """Nothing may be appended any more: its register goes on in another generation of the topic."""
        return self.config.get(SEAL) in (SEALED, COPIED)

    @property
    def copied(self) -> bool:
        """All that it holds is in the next generation too."""
        return self.config.get(SEAL) == COPIED


SEAL = "max.message.bytes"
SEALED, COPIED = "80", "81"
"""Values of ``SEAL``. Brokers refuse every event, whoever sends it, and still take the end of a transaction, which has
78 bytes: the least that an event could have is 61 of its batch, its key and the five bytes before its body."""

MISSING = TopicFacts(topic_id="", partitions=0)
NEW_GENERATION = (
    "keys would change places, so the count is never altered: "
    "make a new generation of the topic with lienthong topics repartition, or correct the catalogue"
)


def check_partitions(register: Register, facts: Mapping[TopicName, TopicFacts]) -> None:
    """Raise ClusterMismatch unless each of the register's topics is there with the catalogue's partition count.

    With another count the same key lies elsewhere than before, so that two versions of one subject lose their order.
    """
    missing = sorted(name for name, fact in facts.items() if fact.missing)
    if missing:
        raise ClusterMismatch(f"{register.name}: no topic {', '.join(missing)}; make it with: lienthong topics apply")
    for name, fact in sorted(facts.items()):
        if fact.partitions != register.partitions:
            raise ClusterMismatch(
                f"{register.name}: topic {name} has {partitions(fact.partitions)}, the catalogue says "
                f"{register.partitions}; {NEW_GENERATION}",
            )


def partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
