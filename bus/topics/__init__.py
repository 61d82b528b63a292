"""The catalogue's topics on the cluster: planned like infrastructure, applied, and checked by whoever uses them."""

from bus.topics.cluster import describe
from bus.topics.facts import TopicFacts, check_partitions

__all__ = ["TopicFacts", "check_partitions", "describe"]
