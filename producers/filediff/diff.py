"""Which rows are new, changed, unchanged, and who is gone. Pure."""

from dataclasses import dataclass, field

import polars as pl

from bus.schema.fields import RegisterSchema
from producers.filediff import refusals
from producers.filediff.check import Checked
from producers.filediff.fingerprint import fingerprints

KEY, HASH, VERDICT, LINE = "#key", "#hash", "#verdict", "#line"
"""Columns beside a register's own, whose names never start so."""

KEYS = pl.Schema({"line": pl.Int64(), "key": pl.String(), "doubtful": pl.Boolean()})
ONCE = "one row per subject in an export; keep the right one and remove the others"


def changes(checked: Checked, known: pl.DataFrame, key_field: str, schema: RegisterSchema) -> pl.DataFrame:
    """The chunk's good rows with KEY, HASH, LINE and VERDICT: new, changed or unchanged."""
    rows = checked.good.with_columns(
        pl.col(key_field).alias(KEY), fingerprints(checked.good, schema).alias(HASH), checked.lines.alias(LINE)
    )
    there = known.filter(~pl.col("gone")).select(pl.col("key").alias(KEY), pl.col("hash").alias("#known"), there=True)
    joined = rows.join(there, on=KEY, how="left", maintain_order="left")
    verdict = (
        pl.when(pl.col("there").is_null())
        .then(pl.lit("new"))
        .when(pl.col("#known").eq_missing(pl.col(HASH)))
        .then(pl.lit("unchanged"))
        .otherwise(pl.lit("changed"))
    )
    return joined.with_columns(verdict.alias(VERDICT)).drop("#known", "there")


@dataclass(slots=True)
class Tally:
    """What is remembered of a whole export: no states, only keys, lines and verdicts."""

    rows: int = 0
    keys: list[pl.DataFrame] = field(default_factory=list)
    verdicts: list[pl.DataFrame] = field(default_factory=list)
    refused: list[refusals.Refusals] = field(default_factory=list)
    unreadable: int = 0

    def add(self, checked: Checked, judged: pl.DataFrame, rows: int) -> None:
        self.rows += rows
        self.keys.append(checked.keys)
        self.verdicts.append(judged.select(KEY, VERDICT))
        self.refused.append(checked.refused)
        self.unreadable += len(checked.unreadable)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do to the topic, and why not more."""

    rows: int
    new: int
    changed: int
    unchanged: int
    gone: pl.Series
    """Keys to delete."""
    published: int
    """How many keys there were before."""
    twice: pl.Series
    """Keys that stand in several rows: none of those goes out."""
    refused: refusals.Refusals
    withheld: str | None
    """Why nobody is deleted although the export is a full one."""

    @property
    def events(self) -> int:
        return self.new + self.changed + len(self.gone)

    @property
    def share_gone(self) -> float:
        return len(self.gone) / self.published if self.published else 0.0


def plan(tally: Tally, known: pl.DataFrame, key_field: str, *, partial: bool) -> Plan:
    """Raises nothing: what is too much to delete, its caller says."""
    keys = pl.concat([KEYS.to_frame(), *tally.keys])
    twice = keys.filter(pl.col("key").is_duplicated())
    doubled = refusals.told(twice["line"], key_field, "duplicate", ONCE)
    verdicts = pl.concat([pl.DataFrame(schema={KEY: pl.String(), VERDICT: pl.String()}), *tally.verdicts])
    counted = dict(
        verdicts.join(twice.select(pl.col("key").alias(KEY)), on=KEY, how="anti").group_by(VERDICT).len().iter_rows()
    )
    live = known.filter(~pl.col("gone"))
    strangers = keys.filter("doubtful").join(live, on="key", how="anti").height
    withheld = None if partial else _withheld(tally.unreadable, strangers)
    absent = live.join(keys, on="key", how="anti")["key"]
    return Plan(
        rows=tally.rows,
        new=counted.get("new", 0),
        changed=counted.get("changed", 0),
        unchanged=counted.get("unchanged", 0),
        gone=absent.clear() if partial or withheld else absent,
        published=live.height,
        twice=twice["key"].unique(),
        refused=refusals.together([*tally.refused, doubled]),
        withheld=withheld if withheld and len(absent) else None,
    )


def _withheld(unreadable: int, strangers: int) -> str | None:
    """Whoever stands in a row whose key cannot be read, or may be mistyped, could be anyone who seems to be gone."""
    rows = unreadable + strangers
    return f"the key of {rows} {'row' if rows == 1 else 'rows'} cannot be trusted" if rows else None
