"""Which rows are new, changed, unchanged, and who is gone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from bus.schema.fields import RegisterSchema
from producers.filediff import refusals
from producers.filediff.check import Checked
from producers.filediff.fingerprint import fingerprints

KEY, HASH, PRINT, VERDICT, LINE, PLACE = "#key", "#hash", "#print", "#verdict", "#line", "#place"
"""Columns beside a register's own, whose names never start so."""

Verdict = pl.Enum(["new", "changed", "unchanged"])
PLACES = pl.Schema({LINE: pl.Int64(), PLACE: pl.UInt32()})
STRANGERS = pl.Schema({LINE: pl.Int64(), KEY: pl.String()})
VERDICTS = pl.Schema({LINE: pl.Int64(), PLACE: pl.UInt32(), PRINT: pl.Int64(), VERDICT: Verdict})
ONCE = "one row per subject in an export; keep the right one and remove the others"


class Before:
    """What is published, to be searched: a key or a row of text has its place in ``known``."""

    def __init__(self, known: pl.DataFrame) -> None:
        """``known`` has the columns of the state, sorted by key."""
        self.known = known
        places = pl.int_range(known.height, dtype=pl.UInt32, eager=True).alias(PLACE)
        prints = known.select("print").with_columns(places).filter(pl.col("print").is_not_null()).sort("print")
        self._prints, self._printed = prints["print"], prints[PLACE]

    def key(self, keys: pl.Series) -> pl.Series:
        """The place of each key; null for one that was never published."""
        return _found(self.known["key"], keys)

    def text(self, prints: pl.Series) -> pl.Series:
        """The place of what each row of text said when it was last published; null for a row that is not as before.

        A print of 64 bits is looked for among all: of a million changed rows beside 14 million published ones, one is
        taken for another's row once in a million exports.
        """
        return self._printed.gather(_found(self._prints, prints))


def changes(
    checked: Checked, prints: pl.Series, before: Before, key_field: str, schema: RegisterSchema
) -> pl.DataFrame:
    """The good rows with KEY, HASH, PRINT, LINE, PLACE and VERDICT; ``prints`` are those of the good rows."""
    keys, hashes = checked.good[key_field], fingerprints(checked.good, schema)
    found, known = before.key(keys), before.known
    there = (~known["gone"].gather(found)).fill_null(value=False)
    same = known["hash"].gather(found).eq_missing(hashes)
    verdict = pl.when(~there).then(pl.lit("new")).when(same).then(pl.lit("unchanged")).otherwise(pl.lit("changed"))
    return checked.good.with_columns(
        keys.alias(KEY),
        hashes.alias(HASH),
        prints.alias(PRINT),
        checked.lines.alias(LINE),
        found.alias(PLACE),
        verdict.cast(Verdict).alias(VERDICT),
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
    """What is remembered of a whole export: no states, only places, lines and verdicts."""

    rows: int = 0
    same: list[pl.DataFrame] = field(default_factory=list)
    """Rows whose text is as before, with the columns of PLACES."""
    read: list[pl.DataFrame] = field(default_factory=list)
    """Rows that had to be read and whose key is known, with the columns of PLACES."""
    strangers: list[pl.DataFrame] = field(default_factory=list)
    """Rows whose key is not known, with the columns of STRANGERS."""
    verdicts: list[pl.DataFrame] = field(default_factory=list)
    refused: list[refusals.Refusals] = field(default_factory=list)
    untrusted: int = 0
    """Rows that may speak of anyone: their key cannot be read, or may be mistyped and is nobody's who is published."""

    def add_same(self, lines: pl.Series, places: pl.Series) -> None:
        """Rows whose text is that of the last export: sound, and unchanged."""
        self.rows += len(lines)
        self.same.append(pl.DataFrame([lines.alias(LINE), places.alias(PLACE)]))

    def add(self, checked: Checked, judged: pl.DataFrame, before: Before, rows: int) -> None:
        self.rows += rows
        places = before.key(checked.keys["key"])
        keys = checked.keys.select(
            pl.col("line").alias(LINE), pl.col("key").alias(KEY), places.alias(PLACE), "doubtful"
        )
        self.read.append(keys.filter(pl.col(PLACE).is_not_null()).select(LINE, PLACE))
        self.strangers.append(keys.filter(pl.col(PLACE).is_null()).select(LINE, KEY))
        self.verdicts.append(judged.select(LINE, PLACE, PRINT, VERDICT))
        self.refused.append(checked.refused)
        live = (~before.known["gone"].gather(places)).fill_null(value=False)
        self.untrusted += len(checked.unreadable) + keys.filter(pl.col("doubtful") & ~live).height


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do to the topic, and why not more."""

    rows: int
    new: int
    changed: int
    unchanged: int
    same_text: int
    """Of the unchanged, rows that are word for word as before."""
    gone: pl.Series
    """Keys to delete."""
    published: int
    """How many keys there were before."""
    absent: int
    """How many of them a full export does not have, whether they are deleted or not."""
    twice: pl.Series
    """Keys that stand in several rows: none of those goes out."""
    refused: refusals.Refusals
    withheld: str | None
    """Why nobody is deleted although the export is a full one."""
    reworded: pl.DataFrame
    """KEY and PRINT of rows that say in other words what is published."""

    @property
    def events(self) -> int:
        return self.new + self.changed + len(self.gone)

    @property
    def share_gone(self) -> float:
        return len(self.gone) / self.published if self.published else 0.0


def plan(tally: Tally, before: Before, key_field: str, *, partial: bool) -> Plan:
    """What is to be done, however much that deletes: whether it is too much, the caller says."""
    known = before.known
    same, read = _together(PLACES, tally.same), _together(PLACES, tally.read)
    strangers, verdicts = _together(STRANGERS, tally.strangers), _together(VERDICTS, tally.verdicts)
    seen = pl.concat([same, read])
    twice, strange_twice = _twice(seen, PLACE), _twice(strangers, KEY)
    lines = pl.concat([twice[LINE], strange_twice[LINE]]).sort()
    single = ~pl.col(LINE).is_in(lines.implode())
    judged, unread = verdicts.filter(single), same.filter(single).height
    counted = dict(judged.group_by(VERDICT).len().iter_rows())
    withheld = None if partial else _withheld(tally.untrusted)
    live = known.select("key", "gone", pl.int_range(pl.len(), dtype=pl.UInt32).alias(PLACE)).filter(~pl.col("gone"))
    absent = live.filter(~pl.col(PLACE).is_in(seen[PLACE].implode()))["key"]
    reworded = judged.filter(pl.col(VERDICT) == "unchanged")
    return Plan(
        rows=tally.rows,
        new=counted.get("new", 0),
        changed=counted.get("changed", 0),
        unchanged=counted.get("unchanged", 0) + unread,
        same_text=unread,
        gone=absent.clear() if partial or withheld else absent,
        published=live.height,
        absent=0 if partial else len(absent),
        twice=pl.concat([known["key"].gather(twice[PLACE]), strange_twice[KEY].alias("key")]).unique(),
        refused=refusals.together([*tally.refused, refusals.told(lines, key_field, "duplicate", ONCE)]),
        withheld=withheld if withheld and len(absent) else None,
        reworded=reworded.select(known["key"].gather(reworded[PLACE]).alias(KEY), PRINT),
    )


def _together(schema: pl.Schema, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([schema.to_frame(), *parts])


def _twice(rows: pl.DataFrame, what: str) -> pl.DataFrame:
    """The rows that share ``what`` with another one."""
    ordered = rows.sort(what)
    alike = pl.col(what) == pl.col(what).shift(1)
    return ordered.filter(alike.fill_null(value=False) | alike.shift(-1, fill_value=False))


def _withheld(rows: int) -> str | None:
    """Whoever stands in a row whose key cannot be read, or may be mistyped, could be anyone who seems to be gone."""
    return f"the key of {rows} {'row' if rows == 1 else 'rows'} cannot be trusted" if rows else None
