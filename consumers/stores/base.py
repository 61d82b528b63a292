"""The store: where a replica's rows, graves, parked events, counters and positions commit together.

Blocking; used from one thread at a time. Two stores, one conformance suite, and a twin in memory held to it too.

A register has a *live* table that lookups read and, while it fills, a *shadow* beside it. A first bootstrap and a
rebuild are the same thing: fill the shadow from offset 0 without index work, then finish: newest version per key,
graves, indexes, swap, all in one transaction. A kill at any moment leaves either the old state or the new one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, Self

import polars as pl

from bus.names import RegisterName, SubjectKind
from consumers.stores.model import (
    Batch,
    Change,
    Origin,
    Outcome,
    Parked,
    ParkedCount,
    Partition,
    Position,
    RegisterStatus,
    Replay,
    Row,
    Slot,
    Table,
)


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
