"""Reading a replica's database, beside the daemons that write it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import polars as pl
import psycopg
from psycopg import errors

from bus.errors import ConfigInvalid, DatabaseUnavailable, RegisterUnknown
from bus.names import RegisterName, SubjectKind, TopicName
from consumers.stores.feed import Cursor
from consumers.stores.model import (
    Change,
    Origin,
    Parked,
    ParkedCount,
    Partition,
    Phase,
    Position,
    RegisterStatus,
    Row,
    Slot,
    Table,
)
from consumers.stores.parking import parked_of
from consumers.stores.postgres import statements as sql
from consumers.stores.postgres.session import Session
from consumers.stores.shape import LAYOUT, Kind, quote, recall, stored_kinds, stored_schema
from consumers.stores.values import as_events, row_of

CHUNK = 50_000  # rows that become Python values at a time, on their way into a frame
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SHAPES = "SELECT register, shape FROM _lienthong_registers"

Answer = TypeVar("Answer")


class _Outdated(Exception):
    """The tables have other columns than when we last looked."""


class PostgresReader:
    """A ``Reader`` of one database. Every answer is one snapshot; the daemons' writing goes on meanwhile."""

    def __init__(self, url: str, *, read_only: bool = True) -> None:
        self._session = Session(url, read_only=read_only)
        self._known: dict[RegisterName, Table] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def check(self) -> None:
        """Raises DatabaseUnavailable when there is no replica yet, ConfigInvalid when there is another layout."""
        with self._session.connected() as connection:
            if not is_laid_out(connection, self._session.name):
                raise DatabaseUnavailable(
                    f"{self._session.name}: there is no replica yet; start `lienthong replica run` first"
                )

    def registers(self) -> Sequence[RegisterName]:
        return sorted(self._shapes())

    def table(self, register: RegisterName) -> Table:
        return _of(self._shapes(), register)

    def _shapes(self) -> dict[RegisterName, Table]:
        with self._session.connected() as connection:
            self._known = tables(connection)
        return self._known

    def _consistently(self, ask: Callable[[psycopg.Connection, Mapping[RegisterName, Table]], Answer]) -> Answer:
        """Ask with the columns we know of; when a daemon has changed them meanwhile, look again."""
        for _ in range(3):
            known = self._known or self._shapes()
            try:
                with self._session.connected() as connection:
                    try:
                        return ask(connection, known)
                    except (errors.UndefinedColumn, errors.UndefinedTable) as error:
                        raise _Outdated from error
            except _Outdated:
                self._known = {}
        raise DatabaseUnavailable(f"{self._session.name}: its tables keep changing")

    def status(self, register: RegisterName, *, count_rows: bool = False) -> RegisterStatus:
        with self._session.connected() as connection:
            found = connection.execute(sql.STATUS, [register]).fetchone()
            if found is None:
                raise unknown(register)
            phase, filling, fingerprint, generation, shape, asked = found
            counting = f"SELECT count(*) FROM {quote(recall(register, shape).name)}"
            rows = one(connection.execute(counting)) if count_rows else None
        return RegisterStatus(register, Phase(phase), filling, fingerprint, generation, rows, asked)

    def positions(self, register: RegisterName, slot: Slot) -> Mapping[Partition, Position]:
        with self._session.connected() as connection:
            return positions_of(connection.execute(sql.POSITIONS, [register, slot]))

    def counters(self, register: RegisterName) -> Mapping[str, int]:
        with self._session.connected() as connection:
            found = connection.execute(
                "SELECT outcome, sum(value)::bigint FROM _lienthong_counters WHERE register = %s "
                'GROUP BY outcome ORDER BY outcome COLLATE "C"',
                [register],
            ).fetchall()
        return {outcome: n for outcome, n in found if n > 0 and not outcome.startswith("_")}

    def get(self, register: RegisterName, key: str) -> Row | None:
        def ask(connection: psycopg.Connection, known: Mapping[RegisterName, Table]) -> Row | None:
            table = _of(known, register)
            with connection.pipeline():
                shapes = connection.execute(f"{SHAPES} WHERE register = %s", [register])
                found = connection.execute(sql.select(table, f"WHERE {quote(table.key_field)} = %s"), [key])
            _check(shapes, {register: table})
            held = found.fetchone()
            return None if held is None else row_of(table, _values(held))

        return self._consistently(ask)

    def subject(self, kind: SubjectKind, subject_key: str) -> Sequence[Row]:
        def ask(connection: psycopg.Connection, known: Mapping[RegisterName, Table]) -> Sequence[Row]:
            of_kind = [table for _, table in sorted(known.items()) if table.subject == kind]
            if not of_kind:
                raise RegisterUnknown(f"{kind}: this replica holds no register of this kind")
            with connection.pipeline():
                connection.execute(SNAPSHOT)
                connection.execute(sql.lock_for_reading(of_kind))
                shapes = connection.execute(SHAPES)
                found = [(table, connection.execute(_of_subject(table), [subject_key])) for table in of_kind]
                connection.execute("COMMIT")
            _check(shapes, known)
            return [row_of(table, _values(held)) for table, cursor in found for held in cursor]

        return self._consistently(ask)

    def rows(self, register: RegisterName) -> pl.DataFrame:
        def ask(connection: psycopg.Connection, known: Mapping[RegisterName, Table]) -> pl.DataFrame:
            table = _of(known, register)
            connection.execute(SNAPSHOT)
            connection.execute(sql.lock_for_reading([table]))
            _check(connection.execute(f"{SHAPES} WHERE register = %s", [register]), {register: table})
            frames = [_frame(table, [])]
            with connection.cursor(name="rows") as cursor:
                cursor.execute(_every_row(table))
                while chunk := cursor.fetchmany(CHUNK):
                    frames.append(_frame(table, chunk))
            return as_events(table, pl.concat(frames))

        return self._consistently(ask)

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
        told = {
            "register": register,
            "reason": reason,
            "since": since,
            "until": until,
            "waiting": waiting or None,
            "after": after and str(after),
        }
        given: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
        place = asdict(after) if after else {}
        with self._session.connected() as connection:
            found = connection.execute(sql.parked(given), {**given, **place, "limit": limit})
            return [_parked(each) for each in found]

    def parked_event(self, origin: Origin) -> Parked | None:
        with self._session.connected() as connection:
            found = connection.execute(sql.PARKED_EVENT, astuple(origin)).fetchone()
        return None if found is None else _parked(found)

    def parked_counts(self) -> Sequence[ParkedCount]:
        with self._session.connected() as connection:
            return [ParkedCount(*each) for each in connection.execute(sql.PARKED_COUNTS)]

    def changes(self, after: str | None, limit: int) -> Sequence[Change]:
        with self._session.connected() as connection:
            era, floor, ceiling, _ = _feed(connection)
            start: tuple[int, ...] = (0, 0, 0)
            if after is not None:
                start = Cursor.read(after, era=era, floor=floor, ceiling=ceiling).place
            at = {"xid": str(start[0]), "n": start[1], "place": start[2], "limit": limit}
            found = connection.execute(sql.CHANGES, at).fetchall()
        return [
            Change(
                str(Cursor(era, (int(xid), n, place))),
                RegisterName(register),
                key,
                op,
                version,
                recorded_at.astimezone(UTC),
            )
            for xid, n, place, register, key, op, version, recorded_at in found
        ]

    def latest_cursor(self) -> str:
        with self._session.connected() as connection:
            era, _, _, oldest_open = _feed(connection)
        return str(Cursor(era, (oldest_open, 0, 0)))


def is_laid_out(connection: psycopg.Connection, name: str) -> bool:
    """Whether a replica's tables are there. Raises ConfigInvalid for a layout this version does not know."""
    if one(connection.execute("SELECT to_regclass('_lienthong_meta')::text")) is None:
        return False
    layout = one(connection.execute("SELECT value FROM _lienthong_meta WHERE name = 'layout'"))
    if layout != str(LAYOUT):
        raise ConfigInvalid(
            f"{name}: has layout {layout}, this version of Liên thông knows {LAYOUT}; use the version that made it, or "
            "name an empty database and bootstrap again",
        )
    return True


def tables(connection: psycopg.Connection) -> dict[RegisterName, Table]:
    return {RegisterName(register): recall(register, shape) for register, shape in connection.execute(SHAPES)}


def positions_of(found: psycopg.Cursor[Any]) -> dict[Partition, Position]:
    return {
        Partition(TopicName(topic), partition): Position(
            topic_id, offset, epoch, told.astimezone(UTC) if told else None
        )
        for topic, partition, topic_id, offset, epoch, told in found
    }


def one(found: psycopg.Cursor[Any]) -> Any:
    """The only value of an answer that has one."""
    row = found.fetchone()
    if row is None:
        raise LookupError("the database gave no row where there always is one")
    return row[0]


def _parked(values: Sequence[Any]) -> Parked:
    *event, parked_at, replays, forwarded_at = values
    return parked_of(event, parked_at.astimezone(UTC), replays, forwarded_at and forwarded_at.astimezone(UTC))


def unknown(register: RegisterName) -> RegisterUnknown:
    return RegisterUnknown(f"{register}: this replica does not hold it")


def _of(known: Mapping[RegisterName, Table], register: RegisterName) -> Table:
    try:
        return known[register]
    except KeyError:
        raise unknown(register) from None


def _check(shapes: psycopg.Cursor[Any], known: Mapping[RegisterName, Table]) -> None:
    if {RegisterName(register): recall(register, shape) for register, shape in shapes} != known:
        raise _Outdated


def _of_subject(table: Table) -> str:
    return sql.select(table, f"WHERE {quote(table.subject_key)} = %s ORDER BY {quote(table.key_field)}")


def _values(held: Sequence[Any]) -> list[Any]:
    """Psycopg gives the Python values that are wanted, times in a UTC of its own."""
    return [value.astimezone(UTC) if isinstance(value, datetime) else value for value in held]


def _every_row(table: Table) -> str:
    """JSON stays text, which is cheaper than to read and write it again."""
    columns = ", ".join(
        f"{quote(name)}{'::text' if kind is Kind.JSON else ''}" for name, kind in stored_kinds(table).items()
    )
    return f"SELECT {columns} FROM {quote(table.name)} ORDER BY {quote(table.key_field)}"


def _frame(table: Table, held: Sequence[Sequence[Any]]) -> pl.DataFrame:
    return pl.DataFrame(held, schema=stored_schema(table), orient="row")


def _feed(connection: psycopg.Connection) -> tuple[str, tuple[int, ...], tuple[int, ...], int]:
    """The feed's era, its floor, its ceiling, and the oldest transaction that may still be open."""
    era, floor, last, oldest_open = connection.execute(
        "SELECT (SELECT value FROM _lienthong_meta WHERE name = 'era'), "
        "(SELECT value FROM _lienthong_meta WHERE name = 'changes_floor'), "
        "pg_snapshot_xmax(pg_current_snapshot())::text, pg_snapshot_xmin(pg_current_snapshot())::text"
    ).fetchone() or ("", "0.0.0", "0", "0")
    return era, tuple(map(int, floor.split("."))), (int(last), 0, 0), int(oldest_open)
