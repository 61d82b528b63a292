"""The store's twin in memory: dicts, no transactions to go wrong, the oracle that the databases are held to."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

import polars as pl

from bus.errors import RegisterUnknown
from bus.names import RegisterName, SubjectKind
from consumers.stores.feed import Cursor, new_era
from consumers.stores.intake import Intake, take_in
from consumers.stores.model import (
    Batch,
    Change,
    Origin,
    Outcome,
    Parked,
    ParkedCount,
    Partition,
    Phase,
    Position,
    RegisterStatus,
    Replay,
    Row,
    Slot,
    Table,
)
from consumers.stores.owning import check_topics, is_repeated, no_fill
from consumers.stores.parking import check_replay, dismissal_counts, replay_counts
from consumers.stores.shape import Kind, check_names, stored_columns, stored_kinds, stored_schema
from consumers.stores.values import as_events, row_of


@dataclass(slots=True)
class _Grave:
    version: int
    stored_at: datetime


@dataclass(slots=True)
class _Entry:
    change: Change
    stored_at: datetime


@dataclass(slots=True)
class _Shadow:
    fingerprint: str
    events: list[dict[str, Any]] = field(default_factory=list)
    """In order of arrival: the table's own columns and ``op``."""


@dataclass(slots=True)
class _Register:
    table: Table
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    graves: dict[str, _Grave] = field(default_factory=dict)
    positions: dict[Slot, dict[Partition, Position]] = field(default_factory=lambda: {slot: {} for slot in Slot})
    counters: dict[Slot, dict[str, int]] = field(default_factory=lambda: {slot: {} for slot in Slot})
    shadow: _Shadow | None = None
    phase: Phase = Phase.ABSENT
    fingerprint: str | None = None
    generation: int = 0
    rebuild_asked: bool = False

    def put(self, key: str, row: dict[str, Any]) -> bool:
        """Whether the row is newer than what is held or buried, and now stands."""
        held, grave = self.rows.get(key), self.graves.get(key)
        newest = max(held["_version"] if held else -1, grave.version if grave else -1)
        if (held or grave) and row["_version"] <= newest:
            return False
        self.rows[key] = row
        return True

    def bury(self, key: str, version: int, now: datetime) -> bool:
        """Whether the delete is newer than what is held or buried, and now stands."""
        held, grave = self.rows.get(key), self.graves.get(key)
        if (held and held["_version"] >= version) or (not held and grave and grave.version >= version):
            return False
        self.rows.pop(key, None)
        self.graves[key] = _Grave(max(version, grave.version) if grave else version, now)
        return True

    def count(self, slot: Slot, counts: Mapping[str, int]) -> None:
        for outcome, n in counts.items():
            self.counters[slot][outcome] = self.counters[slot].get(outcome, 0) + n


class MemoryStore:
    """A ``Store`` for tests; what it holds goes with it."""

    def __init__(self) -> None:
        self._era = new_era()
        self._registers: dict[RegisterName, _Register] = {}
        self._parked: dict[Origin, Parked] = {}
        self._dismissed: set[Origin] = set()
        self._refilled: set[Origin] = set()
        self._feed: list[_Entry] = []
        self._last = self._floor = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to let go of."""

    def open(self, tables: Sequence[Table]) -> None:
        check_names(tables)
        for table in tables:
            register = self._registers.setdefault(table.register, _Register(table))
            register.table = table
            for row in register.rows.values():
                row.update({name: row.get(name) for name in stored_columns(table)})
            if register.shadow is not None and register.shadow.fingerprint != table.fingerprint:
                register.shadow = None

    def registers(self) -> Sequence[RegisterName]:
        return sorted(self._registers)

    def table(self, register: RegisterName) -> Table:
        return self._of(register).table

    def status(self, register: RegisterName, *, count_rows: bool = False) -> RegisterStatus:
        of = self._of(register)
        rows = len(of.rows) if count_rows else None
        return RegisterStatus(
            register, of.phase, of.shadow is not None, of.fingerprint, of.generation, rows, of.rebuild_asked
        )

    def positions(self, register: RegisterName, slot: Slot) -> Mapping[Partition, Position]:
        return dict(self._of(register).positions[slot])

    def claim(
        self,
        register: RegisterName,
        slot: Slot,
        partitions: Mapping[Partition, str],
        owner: str,  # noqa: ARG002 - the databases keep it for people to see
    ) -> Mapping[Partition, Position]:
        of = self._of(register)
        if slot is Slot.SHADOW and of.shadow is None:
            raise no_fill(register)
        held = of.positions[slot]
        check_topics(register, partitions, held)
        for at, topic_id in partitions.items():
            position = held.get(at, Position(topic_id, 0, 0, None))
            held[at] = replace(position, epoch=position.epoch + 1)
        return {at: held[at] for at in partitions}

    def apply(self, batch: Batch) -> Outcome:
        of, now = self._of(batch.register), datetime.now(UTC)
        intake = take_in(of.table, batch.rows)
        if is_repeated(batch.register, batch.advances, of.positions[Slot.LIVE]):
            return Outcome(0, 0)
        outcome = self._apply(of, intake, now)
        self._move(of, Slot.LIVE, batch)
        of.count(Slot.LIVE, {"applied": outcome.applied, "stale": outcome.stale})
        return outcome

    def _apply(self, of: _Register, intake: Intake, now: datetime) -> Outcome:
        applied = 0
        for delete in intake.deletes.iter_rows(named=True):
            if of.bury(delete["key"], delete["version"], now):
                self._feed_in(of, delete["key"], "DELETE", delete["version"], delete["recorded_at"], now)
                applied += 1
        for row in intake.puts.iter_rows(named=True):
            if of.put(row[of.table.key_field], row):
                op = "UPSERT" if row["_replaced_by"] is None else "MERGE"
                self._feed_in(of, row[of.table.key_field], op, row["_version"], row["_recorded_at"], now)
                applied += 1
        return Outcome(applied, intake.height - applied)

    def begin_fill(self, register: RegisterName) -> None:
        of = self._of(register)
        of.shadow, of.rebuild_asked = _Shadow(of.table.fingerprint), False
        self._refilled -= {origin for origin, parked in self._parked.items() if parked.register == register}
        of.positions[Slot.SHADOW] = {}
        of.counters[Slot.SHADOW] = {}

    def fill(self, batch: Batch) -> None:
        of = self._of(batch.register)
        intake = take_in(of.table, batch.rows)
        if of.shadow is None:
            raise no_fill(batch.register)
        if is_repeated(batch.register, batch.advances, of.positions[Slot.SHADOW]):
            return
        of.shadow.events += [{"op": "PUT", **row} for row in intake.puts.iter_rows(named=True)]
        of.shadow.events += [
            {"op": "DELETE", of.table.key_field: delete["key"], "_version": delete["version"]}
            for delete in intake.deletes.iter_rows(named=True)
        ]
        self._move(of, Slot.SHADOW, batch)

    def finish_fill(self, register: RegisterName) -> Outcome:
        of, now = self._of(register), datetime.now(UTC)
        if of.shadow is None:
            raise no_fill(register)
        new = _Register(of.table, graves=dict(of.graves))
        newest: set[str] = set()
        for event in of.shadow.events:
            row = dict(event)
            key, op = row[of.table.key_field], row.pop("op")
            stands = new.bury(key, row["_version"], now) if op == "DELETE" else new.put(key, row)
            if stands:
                newest.add(key)
        outcome = Outcome(len(newest), len(of.shadow.events) - len(newest))
        of.rows, of.graves = new.rows, new.graves
        self._unpark_read_again(of)
        self._swap(of, outcome)
        return outcome

    def _unpark_read_again(self, of: _Register) -> None:
        """What a fill has read without parking it is in its rows, or has been compacted away behind a newer event."""
        for origin, parked in list(self._parked.items()):
            at = of.positions[Slot.SHADOW].get(Partition(parked.topic, parked.partition))
            read = at is not None and at.topic_id == parked.topic_id and at.next_offset > parked.offset
            if parked.register == of.table.register and read and origin not in self._refilled:
                del self._parked[origin]
                of.count(Slot.LIVE, {"parked": -1})

    def _swap(self, of: _Register, outcome: Outcome) -> None:
        live, shadow = of.positions[Slot.LIVE], of.positions[Slot.SHADOW]
        of.positions = {
            Slot.LIVE: {
                at: replace(position, epoch=max(position.epoch, live[at].epoch if at in live else 0) + 1)
                for at, position in shadow.items()
            },
            Slot.SHADOW: {},
        }
        of.count(Slot.LIVE, {**of.counters[Slot.SHADOW], "applied": outcome.applied, "stale": outcome.stale})
        of.counters[Slot.SHADOW] = {}
        of.shadow, of.phase, of.fingerprint = None, Phase.READY, of.table.fingerprint
        of.generation += 1
        self._era = new_era()

    def _move(self, of: _Register, slot: Slot, batch: Batch) -> None:
        held = of.positions[slot]
        for move in batch.advances:
            told = move.caught_up_at or held[move.at].caught_up_at
            held[move.at] = replace(held[move.at], next_offset=move.next_offset, caught_up_at=told)
        for parked in batch.parked:
            if parked.origin not in self._dismissed:
                self._parked.setdefault(parked.origin, replace(parked, parked_at=datetime.now(UTC)))
                self._refilled |= {parked.origin} if slot is Slot.SHADOW else set()
        of.count(slot, {**batch.counts, "parked": len(batch.parked)})

    def counters(self, register: RegisterName) -> Mapping[str, int]:
        of = self._of(register)
        outcomes = of.counters[Slot.LIVE] | of.counters[Slot.SHADOW]
        found = {outcome: sum(of.counters[slot].get(outcome, 0) for slot in Slot) for outcome in sorted(outcomes)}
        return {outcome: n for outcome, n in found.items() if n > 0}

    def get(self, register: RegisterName, key: str) -> Row | None:
        of = self._of(register)
        return self._row(of, of.rows[key]) if key in of.rows else None

    def subject(self, kind: SubjectKind, subject_key: str) -> Sequence[Row]:
        of_kind = [of for of in self._registers.values() if of.table.subject == kind]
        if not of_kind:
            raise RegisterUnknown(f"{kind}: this replica holds no register of this kind")
        return [
            self._row(of, row)
            for of in sorted(of_kind, key=lambda of: of.table.register)
            for _, row in sorted(of.rows.items())
            if row[of.table.subject_key] == subject_key
        ]

    def _row(self, of: _Register, row: Mapping[str, Any]) -> Row:
        kinds = stored_kinds(of.table)
        return row_of(
            of.table,
            [
                json.loads(row[name]) if kind is Kind.JSON and row[name] is not None else row[name]
                for name, kind in kinds.items()
            ],
        )

    def rows(self, register: RegisterName) -> pl.DataFrame:
        of = self._of(register)
        schema = stored_schema(of.table)
        held = [[row[name] for name in schema] for _, row in sorted(of.rows.items())]
        return as_events(of.table, pl.DataFrame(held, schema=schema, orient="row"))

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
        return [
            parked
            for origin, parked in sorted(self._parked.items())
            if register in (None, parked.register)
            and reason in (None, parked.reason)
            and (since is None or (parked.parked_at and parked.parked_at >= since))
            and (until is None or (parked.parked_at and parked.parked_at < until))
            and not (waiting and parked.forwarded_at)
            and (after is None or origin > after)
        ][:limit]

    def parked_event(self, origin: Origin) -> Parked | None:
        return self._parked.get(origin)

    def parked_counts(self) -> Sequence[ParkedCount]:
        counts: dict[tuple[RegisterName, str], list[int]] = {}
        for parked in self._parked.values():
            found = counts.setdefault((parked.register, parked.reason), [0, 0])
            found[0] += 1
            found[1] += parked.forwarded_at is None
        return [ParkedCount(*kind, *found) for kind, found in sorted(counts.items())]

    def waiting(self) -> int:
        return sum(parked.forwarded_at is None for parked in self._parked.values())

    def replay(self, replay: Replay, *, dry: bool = False) -> Outcome:
        if dry:
            return deepcopy(self).replay(replay)
        of, now = self._of(replay.table.register), datetime.now(UTC)
        intake = take_in(of.table, replay.rows)
        named = {*replay.settled, *(parked.origin for parked in replay.standing)}
        ready = of.phase is Phase.READY
        found = len(named & self._parked.keys())
        check_replay(replay, of.table, ready=ready, filling=of.shadow is not None, found=found)
        outcome = self._apply(of, intake, now)
        for origin in replay.settled:
            del self._parked[origin]
        for parked in replay.standing:
            held = self._parked[parked.origin]
            told = replace(held, reason=parked.reason, detail=parked.detail, replays=held.replays + 1)
            self._parked[parked.origin] = told
        of.count(Slot.LIVE, replay_counts(replay, outcome))
        return outcome

    def dismiss(self, origins: Sequence[Origin]) -> int:
        gone = [self._parked.pop(origin) for origin in origins if origin in self._parked]
        for parked in gone:
            self._dismissed.add(parked.origin)
            self._of(parked.register).count(Slot.LIVE, dismissal_counts(1))
        return len(gone)

    def mark_forwarded(self, origins: Sequence[Origin]) -> None:
        for origin in origins:
            if origin in self._parked:
                self._parked[origin] = replace(self._parked[origin], forwarded_at=datetime.now(UTC))

    def ask_rebuild(self, register: RegisterName) -> None:
        self._of(register).rebuild_asked = True

    def _feed_in(self, of: _Register, key: str, op: str, version: int, recorded_at: datetime, now: datetime) -> None:
        if of.phase is Phase.READY:
            self._last += 1
            change = Change(str(self._last), of.table.register, key, op, version, recorded_at)
            self._feed.append(_Entry(change, now))

    def changes(self, after: str | None, limit: int) -> Sequence[Change]:
        start = self._floor
        if after is not None:
            start = Cursor.read(after, era=self._era, floor=(self._floor,), ceiling=(self._last,)).place[0]
        return [
            replace(entry.change, cursor=str(Cursor(self._era, (int(entry.change.cursor),))))
            for entry in self._feed
            if int(entry.change.cursor) > start
        ][:limit]

    def latest_cursor(self) -> str:
        return str(Cursor(self._era, (self._last,)))

    def prune(self, graves_before: datetime, changes_before: datetime) -> None:
        holding = {parked.register for parked in self._parked.values()}
        for name, of in self._registers.items():
            if name not in holding:
                of.graves = {key: grave for key, grave in of.graves.items() if grave.stored_at >= graves_before}
        gone = [entry for entry in self._feed if entry.stored_at < changes_before]
        if gone:
            self._floor = int(gone[-1].change.cursor)
            self._feed = self._feed[len(gone) :]

    def _of(self, register: RegisterName) -> _Register:
        try:
            return self._registers[register]
        except KeyError:
            raise RegisterUnknown(f"{register}: this replica does not hold it") from None
