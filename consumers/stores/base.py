"""The store: where a replica's rows, graves, parked events, counters and positions commit together.

Blocking; used from one thread at a time. Two stores, one conformance suite, and a twin in memory held to it too.

A register has a *live* table that lookups read and, while it fills, a *shadow* beside it. A first bootstrap and a
rebuild are the same thing: fill the shadow from offset 0 without index work, then finish: newest version per key,
graves, indexes, swap, all in one transaction. A kill at any moment leaves either the old state or the new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self

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


class Reader(Protocol):
    """What lookups may ask; never writes, needs no writer's lock, and is used from one thread at a time.

    All methods may raise DatabaseUnavailable (retriable); the next call connects again by itself.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...

    def registers(self) -> Sequence[RegisterName]:
        """Registers that the database has tables for, in order of name."""
        ...

    def table(self, register: RegisterName) -> Table:
        """A register's table as the database knows it; a nested column is some Struct, without its fields.

        Raises RegisterUnknown.
        """
        ...

    def status(self, register: RegisterName, *, count_rows: bool = False) -> RegisterStatus:
        """Where a register stands; ``rows`` is counted only when asked for, as that reads the whole index."""
        ...

    def positions(self, register: RegisterName, slot: Slot) -> Mapping[Partition, Position]: ...

    def counters(self, register: RegisterName) -> Mapping[str, int]:
        """Records ever consumed by outcome, committed with the rows: a restart loses and doubles none.

        A fill under way counts too; its rows become applied or stale when it finishes. A parked event that is replayed
        or dismissed leaves ``parked`` for what became of it.
        """
        ...

    def get(self, register: RegisterName, key: str) -> Row | None: ...

    def subject(self, kind: SubjectKind, subject_key: str) -> Sequence[Row]:
        """All registers' rows of one subject, from one read snapshot. A merged identity gives its pointer row."""
        ...

    def rows(self, register: RegisterName) -> pl.DataFrame:
        """Everything in the live table as ENVELOPE and state columns, ordered by key, for comparison.

        Nested columns are canonical JSON text (sorted names, no spaces), the same from every store.
        """
        ...

    def parked(
        self,
        register: RegisterName | None = None,
        limit: int = 100,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        waiting: bool = False,
        after: Origin | None = None,
    ) -> Sequence[Parked]:
        """Parked events in order of their origins; ``after`` the last one of a page begins the next.

        ``since`` and ``until`` (exclusive) speak of ``parked_at``; ``waiting`` means not in the dead-letter topic yet.
        """
        ...

    def parked_event(self, origin: Origin) -> Parked | None: ...

    def parked_counts(self) -> Sequence[ParkedCount]:
        """By register and reason, in that order."""
        ...

    def changes(self, after: str | None, limit: int) -> Sequence[Change]:
        """Entries after a cursor, oldest first; ``None`` starts at the oldest kept.

        Raises ChangesExpired when entries after the cursor are gone: pruned, or passed over by a swap, which changes
        rows without entries.
        """
        ...

    def latest_cursor(self) -> str:
        """Cursor of the feed's end: take it, read the replica, then follow from it, and nothing is missed."""
        ...


class Desk(Reader, Protocol):
    """What may be done by people beside the daemon, or by itself: moves no position, claims nothing."""

    def waiting(self) -> int:
        """How many parked events the dead-letter topic does not have yet."""
        ...

    def replay(self, replay: Replay, *, dry: bool = False) -> Outcome:
        """Apply parked events as ``Store.apply`` would, and take them out of the parked, in one transaction.

        The counters move them from parked to applied, stale and superseded. ``dry`` tells the outcome and changes
        nothing. Raises Unavailable while the register is being filled, since a swap would forget what was replayed,
        when its table is another by now, and when one of the events is parked no more; RowsRefused as ``apply``.
        """
        ...

    def dismiss(self, origins: Sequence[Origin]) -> int:
        """Give up parked events: their bytes are erased, what is left keeps a rebuild from parking them again.

        Gives how many were parked.
        """
        ...

    def mark_forwarded(self, origins: Sequence[Origin]) -> None:
        """Note that the dead-letter topic has acknowledged them."""
        ...

    def ask_rebuild(self, register: RegisterName) -> None:
        """Ask whoever follows the register to fill it anew; the next ``begin_fill`` is the answer.

        Raises RegisterUnknown.
        """
        ...


class Store(Desk, Protocol):
    """See the module. Nothing of a call that raised has happened, with one exception.

    A connection that breaks during the very commit leaves it unknown. Positions settle it: the same batch given again
    is found done and left alone.
    """

    def open(self, tables: Sequence[Table]) -> None:
        """Make or widen tables, bookkeeping and one view per subject kind; harmless when all is there.

        A new column is added to the live table with NULL for old rows; a shadow begun with other columns is dropped.
        Raises ConfigInvalid when the database belongs to something else or has a layout this version does not know,
        PathUnwritable, and (SQLite) Fenced when another process holds the file as its writer.
        """
        ...

    def claim(
        self, register: RegisterName, slot: Slot, partitions: Mapping[Partition, str], owner: str
    ) -> Mapping[Partition, Position]:
        """Become owner of partitions (with their topic ids): raise each epoch by one, give the positions, 0 where new.

        Raises ClusterMismatch when a stored topic id differs: the topic was deleted and made again, never mix.
        """
        ...

    def apply(self, batch: Batch) -> Outcome:
        """Bring the live table forward, in one transaction with graves, parked events, changes, counters, positions.

        A higher version wins; equal or lower than the row's or the grave's is stale. DELETE removes the row and leaves
        a grave; MERGE leaves a row with no state and ``replaced_by``. Entries of the changes feed are written once the
        register is READY. Raises Fenced, or RowsRefused when the database cannot hold one of the rows: nothing of the
        batch has happened.

        A batch whose partitions all stand at its ``next_offset`` under its own epoch was committed before, its answer
        lost on the way: it changes nothing and comes to ``Outcome(0, 0)``.
        """
        ...

    def begin_fill(self, register: RegisterName) -> None:
        """Start a shadow from nothing: empty table without indexes, no shadow positions; drops one left unfinished.

        Whoever asked for a rebuild has it from here on.
        """
        ...

    def fill(self, batch: Batch) -> None:
        """Append a batch to the shadow with its positions, in one transaction; versions are sorted out at the end.

        Raises Fenced (also when the fill was finished or begun anew by another daemon) and RowsRefused, as ``apply``.
        """
        ...

    def finish_fill(self, register: RegisterName) -> Outcome:
        """Newest version per key, graves, indexes, swap with the live table, positions: one transaction.

        Lookups go on, on the old table, until the swap; the generation rises by one. Counts every row filled as
        applied (the newest of its key) or stale. The swapped positions get epochs above all before: whoever goes on,
        claims first. What was parked, and the fill has read without parking it, is parked no more. Raises Fenced when
        no fill is under way.
        """
        ...

    def prune(self, graves_before: datetime, changes_before: datetime) -> None:
        """Forget graves and changes older than these; of a register with parked events, no grave.

        A parked event may be older than the delete of its subject: replayed without that grave, it would bring it back.
        """
        ...
