"""Where a key lies: Kafka's own murmur2, so that any client in any language puts it where we do."""

from aiokafka.partitioner import murmur2


def partition_of(key: str | bytes, partitions: int) -> int:
    raw = key.encode() if isinstance(key, str) else key
    return int(murmur2(raw) & 0x7FFFFFFF) % partitions
