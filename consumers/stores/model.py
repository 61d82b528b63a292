"""What stores speak of: tables, partitions and positions, batches, rows, changes, parked events. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import polars as pl

from bus.names import AgencyCode, RegisterName, SubjectKind, TopicName

ENVELOPE: Mapping[str, pl.DataType] = {
    "op": pl.String(),
    "key": pl.String(),
    "version": pl.Int64(),
    "source": pl.String(),
    "occurred_at": pl.Datetime("us", "UTC"),
    "recorded_at": pl.Datetime("us", "UTC"),
    "event_id": pl.String(),
    "replaced_by": pl.String(),
}
"""Columns of every frame of events, before the state's own. ``op`` is UPSERT, DELETE or MERGE."""


@dataclass(frozen=True, slots=True)
class Table:
    """How a register lies in a store: a column per state field, nested ones as JSON, and the envelope's columns."""

    register: RegisterName
    subject: SubjectKind
    key_field: str
    subject_key: str
    columns: Mapping[str, pl.DataType] = field(hash=False)
    """State fields in schema order with their Polars types; Struct and List columns become JSON text."""
    fingerprint: str
    """Changes when the columns do: a live table with another one wants columns added, and a rebuild for old rows."""

    @property
    def name(self) -> str:
        return self.register.replace(".", "_")


class Slot(StrEnum):
    LIVE = "live"
    SHADOW = "shadow"


class Phase(StrEnum):
    ABSENT = "absent"
    """Never filled: lookups find nothing."""
    READY = "ready"


@dataclass(frozen=True, slots=True)
class RegisterStatus:
    register: RegisterName
    phase: Phase
    filling: bool
    """A shadow is being filled (first bootstrap or rebuild)."""
    fingerprint: str | None
    """Of the live table's last complete fill; differs from the Table's when old rows lack new columns' values."""
    generation: int
    """Rises with every swap; a cursor of the changes feed from before is expired."""
    rows: int | None = None
    rebuild_asked: bool = False
    """Somebody asked for a rebuild, and no fill has begun since."""


@dataclass(frozen=True, slots=True)
class Partition:
    topic: TopicName
    partition: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where a replica stands in one partition."""

    topic_id: str
    next_offset: int
    epoch: int
    caught_up_at: datetime | None
    """Broker time at which the replica last stood at the end of this partition."""


@dataclass(frozen=True, slots=True)
class Advance:
    """One partition's move, refused unless epoch and offset still are what the owner believes."""

    at: Partition
    epoch: int
    expected: int
    next_offset: int
    caught_up_at: datetime | None = None


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a parked event came from, which is its id: ``topic id/partition/offset``."""

    topic_id: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic_id}/{self.partition}/{self.offset}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError for what is no origin."""
        topic_id, partition, offset = text.rsplit("/", 2)  # Kafka's ids are base64 and may hold a slash
        return cls(topic_id, int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that could not be applied."""

    register: RegisterName
    topic: TopicName
    topic_id: str
    partition: int
    offset: int
    reason: str
    detail: str
    """What was wrong, without personal data."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    kafka_timestamp_ms: int
    parked_at: datetime | None = field(default=None, compare=False)
    """When the store took it; this and what follows is the store's to say."""
    replays: int = field(default=0, compare=False)
    """Replays after which its cause still stood."""
    forwarded_at: datetime | None = field(default=None, compare=False)
    """When the dead-letter topic had it; None while it waits."""

    @property
    def origin(self) -> Origin:
        return Origin(self.topic_id, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class ParkedCount:
    register: RegisterName
    reason: str
    events: int
    waiting: int
    """Those of them that the dead-letter topic does not have yet."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What one transaction does to parked events of one register that were decoded again."""

    table: Table
    """For which the rows were decoded."""
    rows: pl.DataFrame
    """As in a Batch."""
    settled: Sequence[Origin]
    """Parked no more: each is in the rows, or made needless by another one that is."""
    standing: Sequence[Parked] = ()
    """Cause still there, with the reason of now: they stay, and are counted."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction does to one register."""

    register: RegisterName
    rows: pl.DataFrame
    """ENVELOPE and state columns; at most one row per key, the newest of the batch. Nested columns are JSON text."""
    advances: Sequence[Advance]
    parked: Sequence[Parked] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Outcomes decided before the store was asked: superseded, tombstone, marker (parked is counted by the store)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch came to: every row was either applied or stale (equal or lower than what the store holds).

    Both are 0 for a batch that had been committed before, see ``Store.apply``.
    """

    applied: int
    stale: int


@dataclass(frozen=True, slots=True)
class Row:
    """One subject's state in one register, as the replica holds it."""

    register: RegisterName
    key: str
    fields: Mapping[str, Any]
    """State fields; nested ones as dicts and lists, dates and times as date and datetime (UTC), absent ones None."""
    version: int
    source: AgencyCode
    occurred_at: datetime
    recorded_at: datetime
    event_id: str
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the durable feed: the key now is at this version (or gone)."""

    cursor: str
    register: RegisterName
    key: str
    op: str
    version: int
    recorded_at: datetime
