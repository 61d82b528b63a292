"""Parked events as a database row and back."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

from bus.names import RegisterName, TopicName
from consumers.stores.base import Parked


def parked_values(parked: Parked) -> tuple[Any, ...]:
    """Values in the order of the table's columns, up to ``kafka_timestamp_ms``."""
    headers = [[name, None if value is None else b64encode(value).decode()] for name, value in parked.headers]
    return (
        parked.topic_id,
        parked.partition,
        parked.offset,
        parked.register,
        parked.topic,
        parked.reason,
        parked.detail.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        parked.key,
        parked.value,
        json.dumps(headers),
        parked.kafka_timestamp_ms,
    )


def parked_of(values: Sequence[Any]) -> Parked:
    """The event from those values."""
    topic_id, partition, offset, register, topic, reason, detail, key, value, headers, timestamp = values
    return Parked(
        register=RegisterName(register),
        topic=TopicName(topic),
        topic_id=topic_id,
        partition=partition,
        offset=offset,
        reason=reason,
        detail=detail,
        key=key,
        value=value,
        headers=tuple((name, None if text is None else b64decode(text)) for name, text in json.loads(headers)),
        kafka_timestamp_ms=timestamp,
    )
