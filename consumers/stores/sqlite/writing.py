"""Writing a batch's rows, deletes, positions, parked events and counters, inside its one transaction."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime

import polars as pl

from consumers.stores.graves import hash_keys, outlive
from consumers.stores.intake import Intake
from consumers.stores.model import Batch, Outcome, Phase, Replay, Slot, Table
from consumers.stores.parking import origins_text, parked_values, reason_values, replay_counts
from consumers.stores.shape import STAGE, quote
from consumers.stores.sqlite import statements as sql
from consumers.stores.sqlite.types import time_text, tuples


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a register's state decides how a batch is written."""

    ready: bool
    """Filled once: changes are fed."""
    filling: bool
    """A shadow fills: deletes are noted for its end."""


class Writing:
    """One batch's transaction under way. ``now`` is stored wherever a time of writing is."""

    def __init__(self, connection: sqlite3.Connection, table: Table, secret: bytes) -> None:
        self._connection, self._table, self._secret = connection, table, secret
        self._now = time_text(datetime.now(UTC))

    def facts(self) -> Facts:
        phase, filling = self._connection.execute(
            "SELECT phase, filling FROM _lienthong_registers WHERE register = ?", (self._table.register,)
        ).fetchone()
        return Facts(phase == Phase.READY, bool(filling))

    def outliving(self, puts: pl.DataFrame) -> pl.DataFrame:
        """Puts that no grave forbids; keys are hashed only where the register has graves."""
        if puts.is_empty() or not self._has_graves():
            return puts
        hashes = hash_keys(self._secret, puts.get_column(self._table.key_field).to_list())
        found = self._connection.execute(
            "SELECT hash, version FROM _lienthong_graves WHERE register = ? "
            "AND hash IN (SELECT value FROM json_each(?))",
            (self._table.register, json.dumps([each.hex() for each in hashes])),
        )
        return outlive(puts, hashes, {bytes.fromhex(hash_): version for hash_, version in found})

    def _has_graves(self) -> bool:
        found = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM _lienthong_graves WHERE register = ?)", (self._table.register,)
        )
        return bool(found.fetchone()[0])

    def apply(self, intake: Intake, facts: Facts) -> Outcome:
        """Bring the live table forward."""
        applied = self.put(self.outliving(intake.puts), feed=facts.ready)
        applied += self.bury(intake.deletes, facts)
        return Outcome(applied, intake.height - applied)

    def put(self, puts: pl.DataFrame, *, feed: bool) -> int:
        """How many rows were newer than what the table held, and now stand.

        In order of their keys, so that the index is written in order too: a tenth less time.
        """
        if puts.is_empty():
            return 0
        name = STAGE + self._table.name
        self._connection.execute(sql.create_table(name, self._table, temporary=True))
        self._connection.execute(f"DELETE FROM temp.{quote(name)}")
        self._connection.executemany(sql.insert(name, self._table), tuples(puts.sort(self._table.key_field)))
        if feed:
            self._connection.execute(sql.changes_from_stage(self._table), (self._table.register, self._now))
        return self._connection.execute(sql.upsert_from_stage(self._table)).rowcount

    def bury(self, deletes: pl.DataFrame, facts: Facts) -> int:
        """How many deletes were newer than row or grave, and now stand."""
        if deletes.is_empty():
            return 0
        register = self._table.register
        self._stage_deletes(deletes)
        self._connection.execute(sql.forget_stale_deletes(self._table), (register,))
        self._connection.execute(sql.delete_staged(self._table))
        if facts.ready:
            self._connection.execute(sql.FEED_DELETES, (register, self._now))
        if facts.filling:
            self._connection.execute(sql.NOTE_DEAD, (register, False))
        self._connection.execute(sql.DIG_GRAVES, (register, self._now))
        stood: int = self._connection.execute(f"SELECT count(*) FROM temp.{sql.DELETES}").fetchone()[0]
        return stood

    def _stage_deletes(self, deletes: pl.DataFrame) -> None:
        self._connection.execute(sql.CREATE_DELETES)
        self._connection.execute(f"DELETE FROM temp.{sql.DELETES}")
        hashes = hash_keys(self._secret, deletes.get_column("key").to_list())
        self._connection.executemany(
            f"INSERT INTO temp.{sql.DELETES} (key, version, recorded_at, hash) VALUES (?, ?, ?, ?)",
            ((*values, each.hex()) for values, each in zip(tuples(deletes), hashes, strict=True)),
        )

    def append(self, name: str, puts: pl.DataFrame) -> int:
        """How many rows were appended to a table without indexes."""
        self._connection.executemany(sql.insert(name, self._table), tuples(puts))
        return puts.height

    def note_dead(self, deletes: pl.DataFrame) -> None:
        """Remember a fill's deletes until its end, except those that say no more than a grave does."""
        if deletes.is_empty():
            return
        self._stage_deletes(deletes)
        self._connection.execute(sql.FORGET_BURIED_DELETES, (self._table.register,))
        self._connection.execute(sql.NOTE_DEAD, (self._table.register, True))

    def graves_from_dead(self) -> None:
        self._connection.execute(sql.GRAVES_FROM_DEAD, (self._now, self._table.register))

    def move(self, slot: Slot, batch: Batch, counts: Mapping[str, int]) -> None:
        """Positions, parked events and counters."""
        self._connection.executemany(
            sql.ADVANCE,
            [
                (
                    move.next_offset,
                    time_text(move.caught_up_at) if move.caught_up_at else None,
                    batch.register,
                    slot,
                    move.at.topic,
                    move.at.partition,
                )
                for move in batch.advances
            ],
        )
        park = sql.PARK if slot is Slot.LIVE else sql.PARK_REFILLED
        self._connection.executemany(park, [(*parked_values(parked), self._now) for parked in batch.parked])
        self.count(slot, {**batch.counts, **counts, "parked": len(batch.parked)})

    def settle(self, replay: Replay, outcome: Outcome) -> None:
        """Take settled events out of the parked, keep the others with their reason of now, move the counters."""
        self._connection.execute(sql.SETTLE, (origins_text(replay.settled),))
        self._connection.executemany(
            sql.STAND, [(*reason_values(parked), *astuple(parked.origin)) for parked in replay.standing]
        )
        self.count(Slot.LIVE, replay_counts(replay, outcome))

    def count(self, slot: Slot, counts: Mapping[str, int]) -> None:
        count(self._connection, self._table.register, slot, counts)


def count(connection: sqlite3.Connection, register: str, slot: Slot, counts: Mapping[str, int]) -> None:
    """Add to the register's counters."""
    connection.executemany(sql.COUNT, [(register, slot, outcome, n) for outcome, n in counts.items() if n])
