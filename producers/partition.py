"""Where a key lies: Kafka's own murmur2, so that any client in any language puts it where we do."""

from aiokafka.partitioner import murmur2


def partition_of(key: str, partitions: int) -> int:
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions
