"""Refused rows as a frame: line, field, reason, what was expected. Holds no value of the data."""

from collections.abc import Iterable

import polars as pl

SCHEMA = pl.Schema({"line": pl.Int64(), "field": pl.String(), "reason": pl.String(), "expected": pl.String()})
WHOLE_ROW = ""
"""In place of a field where the row as such is wrong."""

Refusals = pl.DataFrame
"""With the columns of SCHEMA, one row per broken field; a line may occur several times."""


def none() -> Refusals:
    return SCHEMA.to_frame()


def together(parts: Iterable[Refusals]) -> Refusals:
    """In the file's order."""
    return pl.concat([none(), *parts]).sort("line", maintain_order=True)


def told(lines: pl.Series, field: str, reason: str, expected: str) -> Refusals:
    """The same refusal for many lines."""
    return pl.DataFrame({"line": lines}, schema={"line": pl.Int64()}).with_columns(
        pl.lit(field).alias("field"), pl.lit(reason).alias("reason"), pl.lit(expected).alias("expected")
    )


def per_reason(refusals: Refusals) -> dict[str, int]:
    counted = refusals.group_by("reason").len().sort(["len", "reason"], descending=[True, False])
    return dict(counted.iter_rows())


def rows(refusals: Refusals) -> int:
    """How many rows of the file are refused."""
    return refusals["line"].n_unique()
