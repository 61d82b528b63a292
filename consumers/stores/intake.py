"""Intake: a batch's rows as a store takes them, refused where one of the databases could not hold them.

All stores refuse the same rows, so that a replica can move from one to another.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from bus.errors import RowsRefused
from consumers.stores.base import Table
from consumers.stores.shape import ENVELOPE_COLUMNS, Kind, stored_columns, stored_kinds

LONGEST_KEY = 1000
"""Bytes. PostgreSQL's index holds 2,700; a longer key would be found out only when a fill builds its index."""

FIRST_DAY, LAST_DAY = date(1, 1, 1), date(9999, 12, 31)
"""What Python, and ISO text that sorts, can say. PostgreSQL and Avro go further."""

NUL_IN_JSON = "\\u0000"


@dataclass(frozen=True, slots=True)
class Intake:
    puts: pl.DataFrame
    """UPSERT and MERGE rows in the table's own columns, ordered by key, so that the index is written in order."""
    deletes: pl.DataFrame
    """``key``, ``version``, ``recorded_at``, ordered by key."""

    @property
    def height(self) -> int:
        return self.puts.height + self.deletes.height


def take_in(table: Table, rows: pl.DataFrame) -> Intake:
    """Sort a batch into puts and deletes. Raises RowsRefused, without saying which row: bisect to find it."""
    for complaint in _complaints(table, rows):
        raise RowsRefused(f"{table.register}: a row of this batch cannot be stored: {complaint}")
    renamed = [pl.col(of).alias(name) for name, of in ENVELOPE_COLUMNS.items()]
    state = [pl.col(name) for name in stored_columns(table) if name not in ENVELOPE_COLUMNS and name != table.key_field]
    deleted = rows.get_column("op") == "DELETE"
    puts = rows.filter(~deleted) if deleted.any() else rows
    return Intake(
        puts=puts.select(pl.col("key").alias(table.key_field), *state, *renamed).sort(table.key_field),
        deletes=rows.filter(deleted).select("key", "version", "recorded_at").sort("key"),
    )


def _complaints(table: Table, rows: pl.DataFrame) -> Iterator[str]:
    if rows.is_empty():
        return
    for name in ("op", "key", "version", "source", "occurred_at", "recorded_at", "event_id"):
        if rows.get_column(name).null_count():
            yield f"{name} is missing"
    for name in {"key", table.subject_key}:
        if _longest(rows.get_column(name)) > LONGEST_KEY:
            yield f"{name} is longer than {LONGEST_KEY} bytes"
    for name, dtype in rows.schema.items():
        if isinstance(dtype, pl.Date | pl.Datetime) and _outside(rows.get_column(name)):
            yield f"{name} is before year 1 or after 9999"
        elif isinstance(dtype, pl.Float64) and rows.get_column(name).is_nan().any():
            yield f"{name} is not a number"
    yield from _nul(table, rows)


def _longest(keys: pl.Series) -> int:
    longest = keys.str.len_bytes().max()
    return longest if isinstance(longest, int) else 0


def _outside(days: pl.Series) -> bool:
    """Compared as numbers: a value that far out cannot become a Python date."""
    first: date = FIRST_DAY
    last: date = LAST_DAY
    if isinstance(days.dtype, pl.Datetime):
        first = datetime(1, 1, 1, tzinfo=UTC)
        last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    bounds = pl.Series([first, last], dtype=days.dtype).to_physical()
    return not days.to_physical().is_between(bounds[0], bounds[1]).all()


def _nul(table: Table, rows: pl.DataFrame) -> Iterator[str]:
    """PostgreSQL's text cannot hold the character NUL, its jsonb not even escaped."""
    for name, dtype in rows.schema.items():
        if isinstance(dtype, pl.String) and rows.get_column(name).str.contains("\0", literal=True).any():
            yield f"{name} holds a NUL character"
    for name, kind in stored_kinds(table).items():
        if kind is Kind.JSON and any(_says_nul(text) for text in _suspects(rows.get_column(name))):
            yield f"{name} holds a NUL character"


def _suspects(column: pl.Series) -> pl.Series:
    return column.filter(column.str.contains(NUL_IN_JSON, literal=True))


def _says_nul(text: str) -> bool:
    """Whether JSON text holds NUL, and not just a backslash before ``u0000``."""
    return NUL_IN_JSON in json.dumps(json.loads(text)).replace("\\\\", "")
