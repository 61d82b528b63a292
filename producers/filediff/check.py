"""Which rows may go out: those that keep the register's rules, under a key that their writer may speak of. Pure."""

from dataclasses import dataclass

import polars as pl

from bus.catalog import Register
from bus.names import AgencyCode
from bus.schema.columns import broken
from bus.schema.fields import RegisterSchema
from producers.admission import foreign_key, own_key_start
from producers.columns import PRECISION
from producers.filediff import refusals
from producers.filediff.parse import Parsed
from producers.filediff.reader import Chunk


@dataclass(frozen=True, slots=True)
class Checked:
    """One chunk, sorted out."""

    good: pl.DataFrame
    """States that may go out."""
    lines: pl.Series
    """Their line numbers."""
    keys: pl.DataFrame
    """``line``, ``key`` of every row whose key can be read, refused ones too; ``doubtful`` where the key is what is
    wrong, so that it may be another subject's in truth."""
    unreadable: pl.Series
    """Lines in which no key can be read."""
    refused: refusals.Refusals


def check(chunk: Chunk, parsed: Parsed, register: Register, schema: RegisterSchema, agency: AgencyCode) -> Checked:
    lines, key = parsed.lines.rename("line"), parsed.frame[register.key_field].rename("key")
    damaged = (refusals.told(pl.Series([d.line]), refusals.WHOLE_ROW, d.reason, d.expected) for d in chunk.damaged)
    refused = refusals.together(
        [parsed.refused, _broken(parsed, schema), _foreign(lines, key, register, agency), *damaged]
    )
    rows = pl.DataFrame([lines, key])
    readable = pl.col("key").is_not_null()
    doubtful = refused.filter(_about_key(register, schema))["line"].implode()
    fine = ~lines.is_in(refused["line"].implode())
    return Checked(
        good=parsed.frame.filter(fine),
        lines=lines.filter(fine),
        keys=rows.filter(readable).with_columns(pl.col("line").is_in(doubtful).alias("doubtful")),
        unreadable=pl.concat([rows.filter(~readable)["line"], _lines(chunk)]),
        refused=refused,
    )


def _broken(parsed: Parsed, schema: RegisterSchema) -> refusals.Refusals:
    """The register's rules, by line. A cell that could not be read at all is not told again for being empty.

    Nor is what would have followed from it, such as how precise a date is.
    """
    found = broken(schema, parsed.frame).select(
        pl.lit(parsed.lines).gather(pl.col("row")).alias("line"), "field", pl.col("rule").alias("reason"), "expected"
    )
    unread = parsed.refused.select("line", pl.col("field").str.replace(r"\[.*", ""))
    unread = pl.concat([unread, unread.with_columns(pl.col("field") + PRECISION)])
    return found.join(unread, on=["line", "field"], how="anti")


def _foreign(lines: pl.Series, key: pl.Series, register: Register, agency: AgencyCode) -> refusals.Refusals:
    if not register.key_starts_with_writer:
        return refusals.none()
    found = foreign_key(register, agency)
    other = (~key.str.starts_with(own_key_start(agency))).fill_null(value=False)
    return refusals.told(lines.filter(other), found.field, found.rule, found.expected)


def _about_key(register: Register, schema: RegisterSchema) -> pl.Expr:
    """Refusals that leave open whether the key is the right one: of the key itself, or of what it has to agree with."""
    agreements = [each.name for each in schema.state.agreements if register.key_field in each.fields]
    return (pl.col("field") == register.key_field) | pl.col("reason").is_in(agreements)


def _lines(chunk: Chunk) -> pl.Series:
    return pl.Series("line", [found.line for found in chunk.damaged], dtype=pl.Int64)
