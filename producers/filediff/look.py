"""The first look at an export: each row parsed, checked, compared; what goes out is spooled, what does not is kept."""

from dataclasses import dataclass, replace

import polars as pl

from bus.catalog import Register
from bus.names import AgencyCode
from bus.schema.fields import RegisterSchema
from producers.filediff import refusals
from producers.filediff.check import check
from producers.filediff.diff import VERDICT, Before, Plan, Tally, changes, plan
from producers.filediff.fingerprint import row_prints
from producers.filediff.header import QUARANTINE_COLUMNS
from producers.filediff.job import FileJob
from producers.filediff.ledger import Ledger
from producers.filediff.lines import UTF8
from producers.filediff.opening import opened
from producers.filediff.parse import Parsed, parse
from producers.filediff.progress import Reporter
from producers.filediff.quarantine import Quarantine
from producers.filediff.reader import Chunk, Reader
from producers.filediff.spool import Spool
from producers.mapping import Mapping


@dataclass(frozen=True, slots=True)
class Terms:
    """By what an export is judged."""

    register: Register
    schema: RegisterSchema
    agency: AgencyCode
    before: Before
    """What is published."""
    context: str
    """By which rules rows of text are read (``context_of``)."""
    mapping: Mapping | None = None

    @property
    def charset(self) -> str:
        return self.mapping.source.bytes_are if self.mapping else UTF8


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a look leaves what it found."""

    spool: Spool
    quarantine: Quarantine
    ledger: Ledger


def look(job: FileJob, reader: Reader, terms: Terms, kept: Kept, reporter: Reporter) -> Plan:
    """The plan. Changed and new rows are in the spool, refused ones in the quarantine, cleaned values in the ledger."""
    tally = Tally()
    with reporter.step(f"reading {job.file.name}") as advance:
        for chunk in reader.chunks():
            _take(chunk, terms, tally, kept)
            advance(len(chunk))
    made = plan(tally, terms.before, terms.register.key_field, partial=job.partial)
    _keep_doubled(job, made, tally, terms, kept.quarantine)
    return made


def _take(chunk: Chunk, terms: Terms, tally: Tally, kept: Kept) -> None:
    """Rows that are word for word as before need neither reading nor checking; the others do."""
    prints = row_prints(chunk.cells.drop(QUARANTINE_COLUMNS, strict=False), terms.context)
    places = terms.before.text(prints)
    same = places.is_not_null()
    tally.add_same(chunk.lines.filter(same), places.filter(same))
    rest = Chunk(chunk.lines.filter(~same), chunk.cells.filter(~same), chunk.damaged)
    if len(rest):
        _read(rest, prints.filter(~same), terms, tally, kept)


def _read(chunk: Chunk, prints: pl.Series, terms: Terms, tally: Tally, kept: Kept) -> None:
    parsed = _parsed(chunk, terms, kept.ledger)
    checked = check(chunk, parsed, terms.register, terms.schema, terms.agency)
    good = prints.filter(chunk.lines.is_in(checked.lines.implode()))
    judged = changes(checked, good, terms.before, terms.register.key_field, terms.schema)
    tally.add(checked, judged, terms.before, len(chunk))
    kept.spool.add(judged.filter(pl.col(VERDICT) != "unchanged"))
    kept.quarantine.add(chunk, checked.refused)


def _parsed(chunk: Chunk, terms: Terms, ledger: Ledger) -> Parsed:
    """The rows in the register's types; where there is a mapping, it makes the register's columns first."""
    if terms.mapping is None:
        return parse(chunk, terms.schema)
    cleaned = terms.mapping.apply(chunk.cells.drop(QUARANTINE_COLUMNS, strict=False), chunk.lines)
    ledger.add(cleaned)
    parsed = parse(Chunk(chunk.lines, cleaned.frame), terms.schema)
    return replace(parsed, refused=refusals.together([cleaned.refused.rename({"row": "line"}), parsed.refused]))


def _keep_doubled(job: FileJob, made: Plan, tally: Tally, terms: Terms, quarantine: Quarantine) -> None:
    """Rows that turned out to share their key are only known at the end: their text is fetched from the file again."""
    before = refusals.together(tally.refused)
    doubled = made.refused.join(before, on="line", how="anti")
    if doubled.is_empty():
        return
    with opened(job, terms.charset) as again:
        for chunk in again.chunks():
            quarantine.add(chunk, doubled.filter(pl.col("line").is_in(chunk.lines.implode())))
