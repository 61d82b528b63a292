"""What a cleaning rule is: a function of one text column that says what it changed, what it doubts, what it refuses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl

Clean = Callable[[pl.Expr], pl.Expr]
Judge = Callable[[pl.Expr, pl.Expr], pl.Expr]
"""From the values before and after to a boolean column; null counts as false."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A value that goes out as it is, and that somebody should look at."""

    reason: str
    expected: str
    """What is expected and what to do, without the value."""
    holds: Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One step of cleaning. Empty cells are null, before and after.

    What a rule refuses is null afterwards. A rule that only tells form from form is idempotent.
    """

    name: str
    says: str
    """What it does, in one line for people."""
    clean: Clean
    refuses: Judge | None = None
    expected: str = ""
    """What the refused value should have been."""
    reason: str = ""
    """Of a refusal; the rule's name where it is left out."""
    doubts: tuple[Doubt, ...] = ()
    where: str = ""
    """A regular expression: values in which it is not found are none of the rule's business. Empty: all are."""
    also: Mapping[str, Clean] = field(default_factory=lambda: MappingProxyType({}))
    """Values for fields beside the cleaned one, from the values before."""


def unread(before: pl.Expr, after: pl.Expr) -> pl.Expr:
    """There was a value, and none could be read."""
    return before.is_not_null() & after.is_null()


def by_value(function: Callable[[str], str | None]) -> Clean:
    """A Python function as a column expression: called once for each different value, never for null."""

    def each(values: pl.Series) -> pl.Series:
        known = values.unique().drop_nulls()
        made = pl.Series([function(value) for value in known], dtype=pl.String)
        return values.replace_strict(known, made, default=None, return_dtype=pl.String)

    return lambda column: column.map_batches(each, return_dtype=pl.String)


def same(column: pl.Expr) -> pl.Expr:
    return column
