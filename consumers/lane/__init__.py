"""A lane: one register's topics, read in order into one slot of the store."""

from consumers.lane.hauling import kafka_partition
from consumers.lane.lane import Lane
from consumers.lane.standing import reached

__all__ = ["Lane", "kafka_partition", "reached"]
