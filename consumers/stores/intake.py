"""Intake: a batch's rows as a store takes them, refused where one of the databases could not hold them.

All stores refuse the same rows, so that a replica can move from one to another.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import polars as pl

from bus.errors import RowsRefused
from consumers.stores.model import ENVELOPE, Table
from consumers.stores.shape import ENVELOPE_COLUMNS, stored_columns

LONGEST_KEY = 1000
"""Bytes. PostgreSQL's index holds 2,700; a longer key would be found out only when a fill builds its index."""

FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""What Python, and ISO text that sorts, can say. PostgreSQL and Avro go further."""

NUL_IN_JSON = "\\u0000"

NEVER_MISSING = ("op", "key", "version", "source", "occurred_at", "recorded_at", "event_id")


@dataclass(frozen=True, slots=True)
class Intake:
    puts: pl.DataFrame
    """UPSERT and MERGE rows in the table's own columns."""
    deletes: pl.DataFrame
    """``key``, ``version``, ``recorded_at``."""

    @property
    def height(self) -> int:
        return self.puts.height + self.deletes.height


def take_in(table: Table, rows: pl.DataFrame, *, look_for_nul: bool = True) -> Intake:
    """Sort a batch into puts and deletes. Raises RowsRefused, without saying which row: bisect to find it.

    Who looks through the bytes anyway says so, and finds NUL in text itself: that is half of all looking here.
    Few and large expressions: each query to Polars costs 0.1 ms, which a lone event waits for.
    """
    found = rows.select(**_checks(table, look_for_nul=look_for_nul)).row(0, named=True)
    any_delete = found.pop("any_delete")
    for complaint in _complaints(table, rows, found):
        raise RowsRefused(f"{table.register}: a row of this batch cannot be stored: {complaint}")
    puts = rows.filter(pl.col("op") != "DELETE") if any_delete else rows
    return Intake(
        puts=puts.select(_put_columns(table)),
        deletes=rows.filter(pl.col("op") == "DELETE").select(_DELETE) if any_delete else NO_DELETES,
    )


_DELETE = ("key", "version", "recorded_at")
NO_DELETES = pl.DataFrame(schema={name: ENVELOPE[name] for name in _DELETE})


@lru_cache(maxsize=256)
def _put_columns(table: Table) -> Sequence[pl.Expr]:
    state = [pl.col(name) for name in stored_columns(table) if name not in ENVELOPE_COLUMNS and name != table.key_field]
    envelope = [pl.col(of).alias(name) for name, of in ENVELOPE_COLUMNS.items()]
    return [pl.col("key").alias(table.key_field), *state, *envelope]


@lru_cache(maxsize=256)
def _checks(table: Table, *, look_for_nul: bool) -> Mapping[str, pl.Expr]:
    """One expression for each complaint about a batch, true where it holds for a row, and ``any_delete``."""
    checks = {"any_delete": pl.col("op") == "DELETE"}
    for name in NEVER_MISSING:
        checks[f"{name} is missing"] = pl.col(name).is_null()
    for name in {"key", table.subject_key}:
        checks[f"{name} is longer than {LONGEST_KEY} bytes"] = pl.col(name).str.len_bytes() > LONGEST_KEY
    for name, dtype in {**ENVELOPE, **table.columns}.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Date | pl.Datetime):
            checks[f"{name} is before year 1 or after 9999"] = ~column.to_physical().is_between(*_bounds(dtype))
        elif isinstance(dtype, pl.Float64):
            checks[f"{name} is not a number"] = column.is_nan()
        elif look_for_nul and (isinstance(dtype, pl.String) or dtype.is_nested()):
            checks[f"{name} holds a NUL character"] = column.str.contains("\0", literal=True)
        if dtype.is_nested():
            checks[name] = column.str.contains(NUL_IN_JSON, literal=True)
    return {complaint: check.any() for complaint, check in checks.items()}


def _bounds(dtype: pl.DataType) -> tuple[int, int]:
    """As numbers: a value that far out cannot become a Python date."""
    days = pl.Series([FIRST, LAST]).cast(dtype).to_physical()
    return days[0], days[1]


def _complaints(table: Table, rows: pl.DataFrame, found: Mapping[str, bool]) -> Iterator[str]:
    """Those that hold. A nested column stands for itself: what looks like an escaped NUL in it is looked into."""
    for complaint, holds in found.items():
        if not holds:
            continue
        if complaint not in table.columns:
            yield complaint
        elif any(map(_says_nul, rows.get_column(complaint).drop_nulls())):
            yield f"{complaint} holds a NUL character"


def _says_nul(text: str) -> bool:
    """Whether JSON text holds NUL, and not just a backslash before ``u0000``: PostgreSQL's jsonb refuses it."""
    return NUL_IN_JSON in text and NUL_IN_JSON in json.dumps(json.loads(text)).replace("\\\\", "")
