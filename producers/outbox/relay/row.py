"""A row as a relay reads it."""

from datetime import datetime
from typing import NamedTuple


class Row(NamedTuple):
    """Its columns in this order; ``key`` and ``event_id`` as bytes, for they go to Kafka."""

    seq: int
    key: bytes
    event_id: bytes
    type: str
    format: str
    payload: bytes | None
    version: int
    traceparent: str | None
    occurred_at: datetime | str | None
    created_at: datetime | str
