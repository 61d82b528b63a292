"""Says of two states whether they are the same, by 64 bits; the same bits whichever schema version wrote them. Pure.

A field at its default says nothing, so that a column added later, with the default that every added field must have,
changes no fingerprint. Two different states of one key fall together once in 1.8e19 changes.
"""

import hashlib
from collections.abc import Iterable

import polars as pl
import polars_hash  # noqa: F401 - registers the expression namespace nchash

from bus.schema.fields import Field, Record, RegisterSchema

FORM = 1
"""Counted up when the text that is hashed changes; older states are then rebuilt."""

NULL = pl.lit("~")
CELL_END = "\x1f"


def fingerprints(states: pl.DataFrame, schema: RegisterSchema) -> pl.Series:
    """One Int64 per state. Columns are the schema's; fields' order does not matter."""
    text = _fields(schema.state, {field.name: pl.col(field.name) for field in schema.fields})
    hashed = text.nchash.xxh3_64()  # type: ignore[attr-defined]
    return states.select(hashed.reinterpret(signed=True).alias("hash")).to_series()


def row_prints(cells: pl.DataFrame, context: str) -> pl.Series:
    """One Int64 per row of text as it stands in an export, whatever the columns' order; null for one that has none.

    Equal prints mean equal cells under equal columns, read by the same rules: ``context`` says which. A row that met
    the rules once need not meet them again. An empty cell is null.
    """
    names = sorted(cells.columns)
    start = pl.lit(digest([context, *names]))
    text = pl.concat_str(start, *(pl.col(name).fill_null("") for name in names), separator=CELL_END)
    single = pl.col("text").str.count_matches(CELL_END, literal=True) == len(names)
    hashed = pl.col("text").nchash.xxh3_64()  # type: ignore[attr-defined]
    return (
        cells.select(text.alias("text"))
        .select(pl.when(single).then(hashed.reinterpret(signed=True)).alias("print"))
        .to_series()
    )


def digest(parts: Iterable[str]) -> str:
    """One word for a list of texts: the same for the same list only."""
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{len(part)}:".encode() + part.encode())
    return total.hexdigest()[:32]


def _fields(record: Record, values: dict[str, pl.Expr]) -> pl.Expr:
    """Name, length and text of every field that differs from its default, by name."""
    parts = [_field(field, values[field.name]) for field in sorted(record.fields, key=lambda field: field.name)]
    return pl.concat_str(parts, ignore_nulls=True)


def _field(field: Field, value: pl.Expr) -> pl.Expr:
    text = _text(field, value)
    sized = pl.concat_str(pl.lit(f"{field.name}="), text.str.len_bytes().cast(pl.String), pl.lit(":"), text)
    told = pl.when(value.is_null()).then(pl.lit(f"{field.name}~")).otherwise(sized)
    return pl.when(_at_default(field, value)).then(pl.lit(None, pl.String())).otherwise(told)


def _at_default(field: Field, value: pl.Expr) -> pl.Expr:
    if field.has_default and field.default is not None:
        return (
            (value.list.len() == 0).fill_null(value=False) if field.items else value.eq_missing(pl.lit(field.default))
        )
    return value.is_null()


def _text(field: Field, value: pl.Expr) -> pl.Expr:
    """The value as text that no other value has."""
    if field.record:
        return _fields(field.record, {inner.name: value.struct.field(inner.name) for inner in field.record.fields})
    if field.items:
        item = field.items.fields[0]
        return value.list.eval(_item(item)).list.join("")
    if field.kind in {"date", "timestamp"}:
        return value.to_physical().cast(pl.String)
    return value.cast(pl.String)


def _item(field: Field) -> pl.Expr:
    text = _text(field, pl.element())
    sized = pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text)
    return pl.when(pl.element().is_null()).then(NULL).otherwise(sized)
