"""How a register's table lies in an SQL database: columns and their kinds, names, the subject's view."""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import groupby

import polars as pl

from bus.errors import ConfigInvalid
from bus.names import RegisterName, SubjectKind
from consumers.stores.model import ENVELOPE, Table

ENVELOPE_COLUMNS: Mapping[str, str] = {
    "_version": "version",
    "_source": "source",
    "_occurred_at": "occurred_at",
    "_recorded_at": "recorded_at",
    "_event_id": "event_id",
    "_replaced_by": "replaced_by",
}
"""Columns beside the state's, and the fields of the envelope that they hold."""

LAYOUT = 1
"""Version of the bookkeeping tables; a database with another one is refused."""

LONGEST_NAME = 63
"""PostgreSQL cuts longer names; SQLite is held to the same, so that a replica can move."""

SHADOW, STAGE, OLD = "_lienthong_shadow_", "_lienthong_stage_", "_lienthong_old_"
"""Before a table's name: the one that fills, a batch on its way, the one that a swap takes away."""


class Kind(StrEnum):
    """What a column holds, whatever the database calls it."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    DECIMAL = "decimal"
    BYTES = "bytes"
    JSON = "json"


_KINDS: Sequence[tuple[type[pl.DataType], Kind]] = (
    (pl.String, Kind.TEXT),
    (pl.Int64, Kind.INTEGER),
    (pl.Float64, Kind.REAL),
    (pl.Boolean, Kind.BOOLEAN),
    (pl.Date, Kind.DATE),
    (pl.Datetime, Kind.TIME),
    (pl.Decimal, Kind.DECIMAL),
    (pl.Binary, Kind.BYTES),
)
_TYPES: Mapping[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.INTEGER: pl.Int64(),
    Kind.REAL: pl.Float64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.DATE: pl.Date(),
    Kind.TIME: pl.Datetime("us", "UTC"),
    Kind.BYTES: pl.Binary(),
    Kind.JSON: pl.Struct({}),
}


def kind_of(dtype: pl.DataType) -> Kind:
    """Raises ConfigInvalid for a type that no store has a place for."""
    if dtype.is_nested():
        return Kind.JSON
    for known, kind in _KINDS:
        if isinstance(dtype, known):
            return kind
    raise ConfigInvalid(f"type {dtype} has no place in a replica's table")


@lru_cache(maxsize=256)
def stored_columns(table: Table) -> Mapping[str, pl.DataType]:
    """Columns of the table in its own order: key, state, envelope; nested ones with their nested type."""
    state = {name: dtype for name, dtype in table.columns.items() if name != table.key_field}
    return {table.key_field: pl.String(), **state, **{name: ENVELOPE[of] for name, of in ENVELOPE_COLUMNS.items()}}


@lru_cache(maxsize=256)
def stored_kinds(table: Table) -> Mapping[str, Kind]:
    return {name: kind_of(dtype) for name, dtype in stored_columns(table).items()}


@lru_cache(maxsize=256)
def stored_schema(table: Table) -> Mapping[str, pl.DataType]:
    """Types of a frame in the table's own columns, nested ones as JSON text."""
    return {name: pl.String() if dtype.is_nested() else dtype for name, dtype in stored_columns(table).items()}


def describe(table: Table) -> str:
    """The table as text that the database keeps, so that a reader needs no schema."""
    columns = {name: _word(dtype) for name, dtype in table.columns.items()}
    return json.dumps(
        {
            "subject": table.subject,
            "key_field": table.key_field,
            "subject_key": table.subject_key,
            "columns": columns,
            "fingerprint": table.fingerprint,
        }
    )


@lru_cache(maxsize=256)
def recall(register: str, text: str) -> Table:
    """The table that ``describe`` told; a nested column is a Struct without fields."""
    told = json.loads(text)
    return Table(
        register=RegisterName(register),
        subject=SubjectKind(told["subject"]),
        key_field=told["key_field"],
        subject_key=told["subject_key"],
        columns={name: _type(word) for name, word in told["columns"].items()},
        fingerprint=told["fingerprint"],
    )


def _word(dtype: pl.DataType) -> str:
    return f"{Kind.DECIMAL}:{dtype.precision}:{dtype.scale}" if isinstance(dtype, pl.Decimal) else kind_of(dtype).value


def _type(word: str) -> pl.DataType:
    kind, *digits = word.split(":")
    return pl.Decimal(int(digits[0]), int(digits[1])) if digits else _TYPES[Kind(kind)]


def quote(name: str) -> str:
    """An SQL identifier, in either dialect."""
    return '"' + name.replace('"', '""') + '"'


def names(columns: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in columns)


def check_names(tables: Sequence[Table]) -> None:
    """Raises ConfigInvalid where PostgreSQL would cut a name, and two could become one."""
    for table in tables:
        made = [f"{SHADOW}{table.name}", *_view_columns(table).values()]
        for name in made:
            if len(name.encode()) > LONGEST_NAME:
                raise ConfigInvalid(f"{table.register}: {name} is longer than {LONGEST_NAME} bytes; shorten the field")


def by_subject(tables: Iterable[Table]) -> dict[SubjectKind, list[Table]]:
    ordered = sorted(tables, key=lambda table: (table.subject, table.register))
    return {kind: list(group) for kind, group in groupby(ordered, key=lambda table: table.subject)}


def view(tables: Sequence[Table]) -> str:
    """The SELECT of one subject kind's view: every subject that any register knows, merged-away rows left out."""
    key = _common_key(tables)
    columns = [f"_keys.{quote(key)}"]
    joins = []
    for table in tables:
        alias = quote(_short(table))
        columns += [f"{alias}.{quote(name)} AS {quote(shown)}" for name, shown in _view_columns(table).items()]
        joins.append(
            f"LEFT JOIN {quote(table.name)} AS {alias} ON {alias}.{quote(table.subject_key)} = _keys.{quote(key)} "
            f"AND {alias}._replaced_by IS NULL"
        )
    keys = " UNION ".join(
        f"SELECT {quote(table.subject_key)} AS {quote(key)} FROM {quote(table.name)} "
        f"WHERE _replaced_by IS NULL AND {quote(table.subject_key)} IS NOT NULL"
        for table in tables
    )
    return f"SELECT {', '.join(columns)} FROM ({keys}) AS _keys {' '.join(joins)}"


def _common_key(tables: Sequence[Table]) -> str:
    used = {table.subject_key for table in tables}
    return used.pop() if len(used) == 1 else "subject_key"


def _short(table: Table) -> str:
    return table.register.split(".", 1)[1]


def _view_columns(table: Table) -> dict[str, str]:
    """Columns of a register in its subject's view; the subject's key stands there once, for all."""
    short = _short(table)
    state = {name: f"{short}_{name}" for name in stored_columns(table) if not name.startswith("_")}
    state.pop(table.subject_key)
    return state | {name: f"{short}{name}" for name in ("_version", "_source", "_recorded_at")}
