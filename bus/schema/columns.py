"""The bulk way of applying a register's rules: to a frame of states, column by column.

The rules are the same values that ``rules`` applies one state at a time; a property test holds the answers equal.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl

from bus.errors import StateInvalid
from bus.schema.fields import Field, Record, RegisterSchema
from bus.schema.rules import POLARS_TYPES, REQUIRED

# No Avro name starts with #, so that these never meet a field.
_ROW, _AT = "#row", "#at"
_NARROWER: dict[Any, tuple[Any, ...]] = {
    pl.Int64: (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32),
    pl.Float64: (pl.Float32,),
}
"""Types that are widened without loss."""
BROKEN_SCHEMA = pl.Schema({"row": pl.UInt32(), "field": pl.String(), "rule": pl.String(), "expected": pl.String()})


def frame_schema(schema: RegisterSchema) -> pl.Schema:
    """The Polars types of a register's state, one column per field, nested fields as ``Struct`` and ``List``."""
    return pl.Schema({field.name: _type(field) for field in schema.fields})


def broken(schema: RegisterSchema, frame: pl.DataFrame) -> pl.DataFrame:
    """Every broken rule as a row: ``row`` (index in the frame, from 0), ``field``, ``rule``, ``expected``; by ``row``.

    At most one rule for each field of a row. A column that is left out has the field's default. Raises
    ``StateInvalid`` where the frame has a column that the register lacks, or one of another type.
    """
    level = _fitted(schema, frame).select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias(_ROW), pl.lit("").alias(_AT), pl.all()
    )
    parts = [pl.DataFrame(schema=BROKEN_SCHEMA), *_record(schema.state, level)]
    return pl.concat(parts).sort("row", maintain_order=True)


def _type(field: Field) -> pl.DataType:
    if field.record:
        return pl.Struct([pl.Field(inner.name, _type(inner)) for inner in field.record.fields])
    if field.items:
        return pl.List(_type(field.items.fields[0]))
    return POLARS_TYPES[field.kind]


def _fitted(schema: RegisterSchema, frame: pl.DataFrame) -> pl.DataFrame:
    wanted = frame_schema(schema)
    strangers = [name for name in frame.columns if name not in wanted]
    if strangers:
        raise StateInvalid(f"{schema.register}: no field {strangers[0]}; drop the column or correct its name")
    for name, given in frame.schema.items():
        if given not in (wanted[name], *_NARROWER.get(wanted[name], ()), pl.Null()):
            raise StateInvalid(f"{schema.register}: column {name} has type {given}; cast it to {wanted[name]}")
    return frame.select(
        pl.col(f.name).cast(wanted[f.name])
        if f.name in frame.columns
        else pl.repeat(f.default, pl.len(), dtype=wanted[f.name]).alias(f.name)
        for f in schema.fields
    )


def _record(record: Record, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    verdicts = frame.select(_ROW, _AT, *(_first_broken(field).alias(field.name) for field in record.scalars))
    for field in record.scalars:
        names = ["required", *(rule.name for rule in field.rules)]
        expected = [REQUIRED, *(rule.expected for rule in field.rules)]
        yield _told(verdicts, field.name, names, expected)
    yield from _disagreements(record, frame, verdicts)
    for field in record.nested:
        yield from _nested(field, frame)


def _first_broken(field: Field) -> pl.Expr:
    """0 where the field is fine, 1 where it is empty and may not be, 2 and up for its rules in their order."""
    column = pl.col(field.name)
    verdict: Any = pl.when(column.is_null()).then(pl.lit(0 if field.nullable else 1, pl.UInt8))
    for number, rule in enumerate(field.rules, 2):
        verdict = verdict.when(~rule.column(column).fill_null(value=False)).then(pl.lit(number, pl.UInt8))
    whole: pl.Expr = verdict.otherwise(pl.lit(0, pl.UInt8))
    return whole


def _disagreements(record: Record, frame: pl.DataFrame, verdicts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for agreement in record.agreements:
        holds = agreement.column(*(pl.col(name) for name in agreement.fields)).fill_null(value=True)
        fine = pl.all_horizontal(pl.col(name) == 0 for name in agreement.fields)
        apart = frame.select(_ROW, _AT, (~holds).cast(pl.UInt8).alias(agreement.fields[0])).filter(
            verdicts.select(fine).to_series()
        )
        yield _told(apart, agreement.fields[0], [agreement.name], [agreement.expected])


def _nested(field: Field, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    at, column = pl.col(_AT) + field.name, pl.col(field.name)
    if not field.nullable:
        yield _told(frame.select(_ROW, _AT, column.is_null().cast(pl.UInt8)), field.name, ["required"], [REQUIRED])
    given = frame.filter(column.is_not_null())
    if field.record:
        inner = given.select(_ROW, at + ".", column).unnest(field.name)
        yield from _record(field.record, inner)
    elif field.items:
        many = given.filter(column.list.len() > 0)
        index = pl.int_ranges(column.list.len()).alias("#index")
        items = many.select(_ROW, at, index, column.alias("")).explode("#index", "")
        place = pl.format("{}[{}]", _AT, "#index").alias(_AT)
        yield from _record(field.items, items.select(_ROW, place, pl.col("")))


def _told(verdicts: pl.DataFrame, field: str, names: list[str], expected: list[str]) -> pl.DataFrame:
    """The rows whose verdict is not 0, in words; verdict 1 is the first name."""
    bad = verdicts.filter(pl.col(field) > 0)
    place = (pl.col(field) - 1).cast(pl.UInt32)
    return bad.select(
        pl.col(_ROW).alias("row"),
        (pl.col(_AT) + field).alias("field"),
        pl.lit(pl.Series(names, dtype=pl.String)).gather(place).alias("rule"),
        pl.lit(pl.Series(expected, dtype=pl.String)).gather(place).alias("expected"),
    )
