"""Which rows are new, changed, unchanged, and who is gone. Pure."""

from dataclasses import dataclass, field

import polars as pl

from bus.schema.fields import RegisterSchema
from producers.filediff import refusals
from producers.filediff.check import Checked
from producers.filediff.fingerprint import fingerprints

KEY, HASH, VERDICT, LINE = "#key", "#hash", "#verdict", "#line"
"""Columns beside a register's own, whose names never start so."""

Verdict = pl.Enum(["new", "changed", "unchanged"])
KEYS = pl.Schema({"line": pl.Int64(), "key": pl.String(), "doubtful": pl.Boolean()})
VERDICTS = pl.Schema({LINE: pl.Int64(), VERDICT: Verdict})
ONCE = "one row per subject in an export; keep the right one and remove the others"


def changes(checked: Checked, known: pl.DataFrame, key_field: str, schema: RegisterSchema) -> pl.DataFrame:
    """The chunk's good rows with KEY, HASH, LINE and VERDICT. ``known`` is sorted by key."""
    keys, hashes = checked.good[key_field], fingerprints(checked.good, schema)
    found = _found(known["key"], keys)
    there = (~known["gone"].gather(found)).fill_null(value=False)
    same = known["hash"].gather(found).eq_missing(hashes)
    verdict = pl.when(~there).then(pl.lit("new")).when(same).then(pl.lit("unchanged")).otherwise(pl.lit("changed"))
    return checked.good.with_columns(
        keys.alias(KEY), hashes.alias(HASH), checked.lines.alias(LINE), verdict.cast(Verdict).alias(VERDICT)
    )


def _found(among: pl.Series, values: pl.Series) -> pl.Series:
    """Where each value stands in a sorted series; null for one that does not.

    Searching needs no memory, where a join would hash everything that was ever published for every chunk.
    """
    if among.is_empty():
        return pl.repeat(None, len(values), dtype=pl.UInt32(), eager=True)
    place = pl.Series("place", among.search_sorted(values), dtype=pl.UInt32).clip(upper_bound=len(among) - 1)
    return pl.select(pl.when(among.gather(place) == values).then(place)).to_series()


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
        self.verdicts.append(judged.select(LINE, VERDICT))
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
    """What is to be done, however much that deletes: whether it is too much, the caller says. ``known`` is sorted."""
    keys = pl.concat([KEYS.to_frame(), *tally.keys]).sort("key")
    alike = pl.col("key") == pl.col("key").shift(1)
    twice = keys.filter(alike.fill_null(value=False) | alike.shift(-1, fill_value=False))
    doubled = refusals.told(twice["line"].sort(), key_field, "duplicate", ONCE)
    verdicts = pl.concat([VERDICTS.to_frame(), *tally.verdicts])
    counted = dict(verdicts.filter(~pl.col(LINE).is_in(twice["line"].implode())).group_by(VERDICT).len().iter_rows())
    live = known.filter(~pl.col("gone"))["key"]
    strangers = _found(live, keys.filter("doubtful")["key"]).null_count()
    withheld = None if partial else _withheld(tally.unreadable, strangers)
    absent = live.filter(_found(keys["key"], live).is_null())
    return Plan(
        rows=tally.rows,
        new=counted.get("new", 0),
        changed=counted.get("changed", 0),
        unchanged=counted.get("unchanged", 0),
        gone=absent.clear() if partial or withheld else absent,
        published=len(live),
        twice=twice["key"].unique(),
        refused=refusals.together([*tally.refused, doubled]),
        withheld=withheld if withheld and len(absent) else None,
    )


def _withheld(unreadable: int, strangers: int) -> str | None:
    """Whoever stands in a row whose key cannot be read, or may be mistyped, could be anyone who seems to be gone."""
    rows = unreadable + strangers
    return f"the key of {rows} {'row' if rows == 1 else 'rows'} cannot be trusted" if rows else None
