"""Writing a batch's rows, deletes, positions, parked events and counters, inside its one transaction.

A lone event costs three trips to the server: begin and lock; write; count and commit. A larger batch adds its COPY.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import polars as pl
import psycopg

from consumers.stores.graves import hash_keys, outlive
from consumers.stores.intake import Intake
from consumers.stores.model import Batch, Outcome, Partition, Phase, Position, Replay, Slot, Table
from consumers.stores.parking import check_replay, origin_columns, parked_values, reason_values, replay_counts
from consumers.stores.postgres import statements as sql
from consumers.stores.postgres.copying import copy_in, text_columns
from consumers.stores.postgres.reader import one, positions_of, unknown
from consumers.stores.shape import SHADOW, STAGE, recall

SMALL = 50  # rows; up to here parameters of one statement beat a COPY into the stage (3.7 to 6.9 ms), from 100 on not


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides how a batch is written; true until the transaction ends, as it is locked."""

    ready: bool
    """Filled once: changes are fed."""
    filling: bool
    """A shadow fills: deletes are noted for its end."""
    graves: bool
    """The register has graves, so that puts are held against them."""
    held: Mapping[Partition, Position]


class Writing:
    """One batch's transaction under way."""

    def __init__(self, connection: psycopg.Connection, table: Table, secret: bytes) -> None:
        self._connection, self._table, self._secret = connection, table, secret

    def begin(self, slot: Slot, batch: Batch) -> Facts:
        """Begin, lock the register against a swap, then the positions, in one order for all daemons."""
        register, connection = self._table.register, self._connection
        topics = [move.at.topic for move in batch.advances]
        numbers = [move.at.partition for move in batch.advances]
        with connection.pipeline():
            connection.execute(sql.BEGIN)
            if slot is Slot.SHADOW:
                connection.execute(sql.COMMIT_SOON)
            locked = connection.execute(f"{sql.LOCK_REGISTER} SHARE", [register], prepare=True)
            held = connection.execute(sql.LOCK_POSITIONS, [register, slot, topics, numbers], prepare=True)
            graves = connection.execute(sql.HAS_GRAVES, [register], prepare=True)
        found = locked.fetchone()
        if found is None:
            raise unknown(register)
        phase, filling, _ = found
        return Facts(phase == Phase.READY, filling, one(graves), positions_of(held))

    def outliving(self, puts: pl.DataFrame, facts: Facts) -> pl.DataFrame:
        """Puts that no grave forbids; keys are hashed only where the register has graves."""
        if puts.is_empty() or not facts.graves:
            return puts
        hashes = hash_keys(self._secret, puts.get_column(self._table.key_field).to_list())
        found = self._connection.execute(sql.GRAVES, [self._table.register, hashes], prepare=True)
        return outlive(puts, hashes, dict(found.fetchall()))

    def apply(self, batch: Batch, intake: Intake, puts: pl.DataFrame, facts: Facts) -> Outcome:
        """Write everything and commit."""
        staged = self._stage(puts)
        with self._connection.pipeline():
            put = self._put(puts, staged=staged, feed=facts.ready)
            buried = self._bury(intake.deletes, facts)
            self._move(Slot.LIVE, batch)
        outcome = _outcome(intake, put, buried)
        self._commit(Slot.LIVE, batch, {"applied": outcome.applied, "stale": outcome.stale})
        return outcome

    def begin_replay(self, replay: Replay) -> Facts:
        """Begin, and lock the register against a swap, then the parked events. Raises Unavailable, see the check."""
        register, connection = self._table.register, self._connection
        named = [*replay.settled, *(parked.origin for parked in replay.standing)]
        with connection.pipeline():
            connection.execute(sql.BEGIN)
            locked = connection.execute(f"{sql.LOCK_REGISTER} SHARE", [register])
            shape = connection.execute(sql.SHAPE, [register])
            found = connection.execute(sql.LOCK_PARKED, origin_columns(named))
            graves = connection.execute(sql.HAS_GRAVES, [register])
        held = locked.fetchone()
        if held is None:
            raise unknown(register)
        phase, filling, _ = held
        facts = Facts(phase == Phase.READY, filling, one(graves), {})
        check_replay(replay, recall(register, one(shape)), ready=facts.ready, filling=filling, found=one(found))
        return facts

    def replay(self, replay: Replay, intake: Intake, facts: Facts, *, dry: bool) -> Outcome:
        """Write everything and commit; ``dry`` undoes it first."""
        puts = self.outliving(intake.puts, facts)
        self._connection.execute("SAVEPOINT replay")
        staged = self._stage(puts)
        with self._connection.pipeline():
            put = self._put(puts, staged=staged, feed=facts.ready)
            buried = self._bury(intake.deletes, facts)
            self._connection.execute(sql.SETTLE, origin_columns(replay.settled))
        outcome = _outcome(intake, put, buried)
        with self._connection.cursor() as cursor:
            cursor.executemany(
                sql.STAND, [(*reason_values(parked), *astuple(parked.origin)) for parked in replay.standing]
            )
        self.count(Slot.LIVE, replay_counts(replay, outcome))
        if dry:
            self._connection.execute("ROLLBACK TO replay")
        self._connection.execute("COMMIT")
        return outcome

    def _stage(self, puts: pl.DataFrame) -> bool:
        """Whether the rows are many, and lie in the stage now."""
        if puts.height <= SMALL:
            return False
        self._connection.execute(sql.create_stage(self._table))
        ordered = puts.sort(self._table.key_field)  # the index is met in order, and rows are locked in order
        copy_in(self._connection, sql.copy_into(STAGE + self._table.name, self._table), ordered)
        return True

    def fill(self, batch: Batch, intake: Intake, puts: pl.DataFrame) -> None:
        """Append the rows to the shadow, note the deletes, and commit."""
        copy_in(self._connection, sql.copy_into(SHADOW + self._table.name, self._table), puts)
        with self._connection.pipeline():
            if not intake.deletes.is_empty():
                self._connection.execute(sql.NOTE_DEAD, self._deletes(intake.deletes))
            self._move(Slot.SHADOW, batch)
        self._commit(Slot.SHADOW, batch, {"_fed": intake.height, "_kept": puts.height})

    def _put(self, puts: pl.DataFrame, *, staged: bool, feed: bool) -> psycopg.Cursor[Any] | None:
        if puts.is_empty():
            return None
        given: list[Any] = [] if staged else list(text_columns(puts))
        given += [self._table.register] if feed else []
        return self._connection.execute(sql.upsert(self._table, staged=staged, feed=feed), given, prepare=True)

    def _bury(self, deletes: pl.DataFrame, facts: Facts) -> psycopg.Cursor[Any] | None:
        if deletes.is_empty():
            return None
        statement = sql.bury(self._table, feed=facts.ready, filling=facts.filling)
        return self._connection.execute(statement, self._deletes(deletes), prepare=True)

    def _deletes(self, deletes: pl.DataFrame) -> dict[str, Any]:
        keys = deletes.get_column("key").to_list()
        return {
            "register": self._table.register,
            "keys": keys,
            "versions": deletes.get_column("version").to_list(),
            "hashes": hash_keys(self._secret, keys),
            "times": deletes.get_column("recorded_at").to_list(),
        }

    def _move(self, slot: Slot, batch: Batch) -> None:
        moves = batch.advances
        columns = [
            [move.at.topic for move in moves],
            [move.at.partition for move in moves],
            [move.next_offset for move in moves],
            [move.caught_up_at for move in moves],
        ]
        self._connection.execute(sql.ADVANCE, [*columns, batch.register, slot], prepare=True)
        if batch.parked:
            with self._connection.cursor() as cursor:
                park = sql.PARK if slot is Slot.LIVE else sql.PARK_REFILLED
                cursor.executemany(park, [parked_values(parked) for parked in batch.parked])

    def _commit(self, slot: Slot, batch: Batch, counts: Mapping[str, int]) -> None:
        """The counters' rows are one for all daemons of a register, so they are locked last, and with the commit."""
        with self._connection.pipeline():
            self.count(slot, {**batch.counts, **counts, "parked": len(batch.parked)})
            self._connection.execute("COMMIT")

    def count(self, slot: Slot, counts: Mapping[str, int]) -> None:
        worth = {outcome: n for outcome, n in counts.items() if n}
        given = [self._table.register, slot, list(worth), list(worth.values())]
        self._connection.execute(sql.COUNT, given, prepare=True)


def _outcome(intake: Intake, put: psycopg.Cursor[Any] | None, buried: psycopg.Cursor[Any] | None) -> Outcome:
    applied = (one(put) if put else 0) + (one(buried) if buried else 0)
    return Outcome(applied, intake.height - applied)
