"""Text cells to a register's types, column by column; what cannot be read is refused with its line. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from bus.schema.columns import frame_schema
from bus.schema.fields import Field, Record, RegisterSchema
from producers.columns import derived_from, is_partial_date
from producers.filediff import forms, refusals
from producers.filediff.header import QUARANTINE_COLUMNS
from producers.filediff.lists import parse_lists
from producers.filediff.reader import Chunk


@dataclass(frozen=True, slots=True)
class Parsed:
    """Rows in the register's types, with the numbers of their lines. What was refused is null in ``frame``."""

    lines: pl.Series
    frame: pl.DataFrame
    refused: refusals.Refusals


def parse(chunk: Chunk, schema: RegisterSchema) -> Parsed:
    """The chunk's rows. Text is put into NFC; columns that the export lacks, and empty cells, have their defaults."""
    cells = chunk.cells.drop(QUARANTINE_COLUMNS, strict=False)
    sheet = _Sheet(chunk.lines, cells.with_columns(cells[name].str.normalize("NFC") for name in _beyond_ascii(cells)))
    series = list(_record(schema.state, "", frame_schema(schema), sheet))
    return Parsed(chunk.lines, pl.DataFrame(series), refusals.together(sheet.refused))


@dataclass(frozen=True, slots=True)
class _Sheet:
    lines: pl.Series
    cells: pl.DataFrame
    refused: list[refusals.Refusals] = field(default_factory=list)

    def column(self, name: str) -> pl.Series | None:
        return self.cells[name] if name in self.cells.columns else None


def _record(record: Record, at: str, types: pl.Schema, sheet: _Sheet) -> Iterator[pl.Series]:
    made: dict[str, pl.Series] = {}
    for each in record.fields:
        name, dtype = at + each.name, types[each.name]
        source = derived_from(each, record)
        if each.record:
            made[each.name] = _nested(each, each.record, name, dtype, sheet)
        else:
            made[each.name] = _column(each, name, dtype, sheet)
        if source is not None and source.name in made:
            told = pl.coalesce(pl.col(each.name), forms.precision(pl.col(source.name)))
            made[each.name] = (
                pl.DataFrame([made[each.name], made[source.name]]).select(told.alias(each.name)).to_series()
            )
        yield made[each.name]


def _column(each: Field, name: str, dtype: pl.DataType, sheet: _Sheet) -> pl.Series:
    given = sheet.column(name)
    if given is None:
        return pl.Series(each.name, [each.default], dtype=dtype).new_from_index(0, sheet.cells.height)
    if each.items:
        lists = parse_lists(given, sheet.lines, each, name, dtype)
        sheet.refused.append(lists.refused)
        return lists.values
    read = _read(given, each, dtype)
    wrong = sheet.lines.filter(given.is_not_null() & read.is_null())
    if len(wrong):
        sheet.refused.append(refusals.told(wrong, name, forms.REASON[each.kind], forms.EXPECTED[each.kind]))
    return read if each.default is None else read.fill_null(each.default)


def _read(given: pl.Series, each: Field, dtype: pl.DataType) -> pl.Series:
    if each.kind == "string" and not is_partial_date(each):
        return given.alias(each.name)
    cell = pl.col("cell")
    value = forms.partial_date(cell) if each.kind == "string" else forms.read(cell, each.kind, dtype)
    # Each different cell is read once: a column of dates has few.
    read = given.unique().to_frame("cell").select(cell, value.alias("value"))
    return (
        given.to_frame("cell")
        .join(read, on="cell", how="left", nulls_equal=True, maintain_order="left")["value"]
        .alias(each.name)
    )


def _beyond_ascii(cells: pl.DataFrame) -> list[str]:
    """Columns that Unicode's normal forms can be about."""
    wide = cells.select((pl.all().str.len_bytes() != pl.all().str.len_chars()).any())
    return [name for name in wide.columns if wide[name][0]]


def _nested(each: Field, record: Record, name: str, dtype: pl.DataType, sheet: _Sheet) -> pl.Series:
    """A record from its dotted columns. Where all of them are empty there is no record, if there may be none."""
    if not isinstance(dtype, pl.Struct):
        raise TypeError(f"{name}: a record lies in a Struct, not in {dtype}")
    inner = pl.DataFrame(list(_record(record, f"{name}.", pl.Schema(dtype.to_schema()), sheet)))
    made = inner.select(pl.struct(pl.all()).alias(each.name)).to_series()
    if not each.nullable:
        return made
    given = [column for column in sheet.cells.columns if column.startswith(f"{name}.")]
    present = sheet.cells.select(
        pl.any_horizontal(pl.lit(value=False), *(pl.col(column).is_not_null() for column in given))
    )
    return pl.select(pl.when(present.to_series()).then(made).alias(each.name)).to_series()
