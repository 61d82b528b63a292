"""The transactional ids under which adapters send: fixed, so that whoever starts with one ends the one before."""

MOST_SHARDS = 64
"""Relays that may divide one topic's keys among them."""


def transactional_id(topic: str, shard: int = 0) -> str:
    """Fixed per topic and shard."""
    return f"{topic}-adapter-{shard}"
