"""Runs rules over one column, in order, and keeps account of every value that they touch. Pure.

The account names values by their place in the column. Where a column repeats few values, each is cleaned once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from producers.cleaning.rule import Rule

PLACE = pl.UInt32()
CHANGES = pl.Schema({"place": PLACE, "from": pl.String(), "to": pl.String(), "rule": pl.String()})
REVIEWS = pl.Schema({"place": PLACE, "value": pl.String(), "reason": pl.String(), "expected": pl.String()})
REFUSED = pl.Schema({"place": PLACE, "reason": pl.String(), "expected": pl.String()})
REPEATS = 4
"""From so many rows per different value on, the different values are cleaned and not the rows."""


@dataclass(frozen=True, slots=True)
class Account:
    """A cleaned column and what happened to it; ``place`` counts its rows from 0."""

    values: pl.Series
    changes: pl.DataFrame
    """Columns of CHANGES: one row for each value that a rule changed, also to empty or from empty."""
    reviews: pl.DataFrame
    """Columns of REVIEWS: values that went through and are to be looked at."""
    refused: pl.DataFrame
    """Columns of REFUSED: values that are null in ``values`` because no value could be read."""
    also: Mapping[str, pl.Series]
    """Values that rules found for neighbouring fields."""


def clean(values: pl.Series, rules: Sequence[Rule]) -> Account:
    """The values after all rules, each given what the one before left."""
    known = values.unique(maintain_order=True)
    if len(known) * REPEATS > len(values):
        return _clean(values, rules)
    of_known = known.to_frame("value").with_row_index("place")
    places = values.to_frame("value").join(of_known, on="value", how="left", nulls_equal=True, maintain_order="left")[
        "place"
    ]
    return _spread(_clean(known, rules), places)


def _clean(values: pl.Series, rules: Sequence[Rule]) -> Account:
    changes, reviews, refused = [CHANGES.to_frame()], [REVIEWS.to_frame()], [REFUSED.to_frame()]
    also: dict[str, pl.Series] = {}
    for rule in rules:
        places = _concerned(values, rule)
        if places.is_empty():
            continue
        step = pl.DataFrame({"place": places, "from": values.gather(places)}).with_columns(
            rule.clean(pl.col("from")).alias("to")
        )
        before, after = pl.col("from"), pl.col("to")
        no = pl.lit(value=False)
        out = step.filter(rule.refuses(before, after) if rule.refuses else no)
        refused.append(out.select("place", reason=pl.lit(rule.reason or rule.name), expected=pl.lit(rule.expected)))
        if out.height:
            step = step.with_columns(pl.when(~before.is_in(out["from"].implode())).then(after).alias("to"))
        told = step.filter(before.ne_missing(after)).join(out, on="place", how="anti", maintain_order="left")
        changes.append(told.with_columns(rule=pl.lit(rule.name)))
        reviews += [
            step.filter(doubt.holds(before, after)).select(
                "place", value=before, reason=pl.lit(doubt.reason), expected=pl.lit(doubt.expected)
            )
            for doubt in rule.doubts
        ]
        also |= {name: step.select(value(before).alias(name)).to_series() for name, value in rule.also.items()}
        values = _put(values, places, step["to"])
    return Account(values, pl.concat(changes), pl.concat(reviews), pl.concat(refused), also)


def _concerned(values: pl.Series, rule: Rule) -> pl.Series:
    """Places of the values that a rule may touch."""
    if not rule.where:
        return pl.int_range(len(values), dtype=PLACE, eager=True)
    return values.str.contains(rule.where).fill_null(value=False).arg_true().cast(PLACE)


def _put(values: pl.Series, places: pl.Series, changed: pl.Series) -> pl.Series:
    """The values with those at some places exchanged."""
    if len(places) == len(values):
        return changed
    found = pl.int_range(len(values), dtype=PLACE, eager=True).scatter(
        places, pl.int_range(len(values), len(values) + len(places), dtype=PLACE, eager=True)
    )
    return pl.concat([values, changed.alias(values.name)]).gather(found)


def _spread(of_known: Account, places: pl.Series) -> Account:
    """The account of the different values as that of all rows."""
    rows = pl.DataFrame({"row": pl.int_range(len(places), dtype=PLACE, eager=True), "place": places})

    def each(told: pl.DataFrame) -> pl.DataFrame:
        if told.is_empty():
            return told
        spread = rows.join(told, on="place", how="inner", maintain_order="right_left")
        return spread.drop("place").rename({"row": "place"})

    return Account(
        of_known.values.gather(places),
        each(of_known.changes),
        each(of_known.reviews),
        each(of_known.refused),
        {name: values.gather(places) for name, values in of_known.also.items()},
    )
