"""A sample of rows cleaned and validated, and what that did to them, without any of their values. Pure."""

from collections.abc import Iterable

import polars as pl

from producers.adapter.bus_side import Terms
from producers.adapter.findings import Checklist, Effect
from producers.filediff import refusals
from producers.filediff.check import check
from producers.filediff.header import QUARANTINE_COLUMNS
from producers.filediff.parse import parse
from producers.filediff.reader import Chunk
from producers.mapping import Mapping

SAMPLE_ROWS = 100


def judged(chunk: Chunk, terms: Terms, mapping: Mapping | None) -> tuple[int, list[Effect]]:
    """How many rows would go out, and what happens to the values of all."""
    effects: list[Effect] = []
    refused = refusals.none()
    cells = chunk
    if mapping is not None:
        cleaned = mapping.apply(chunk.cells.drop(QUARANTINE_COLUMNS, strict=False), chunk.lines)
        effects += _effects(terms, "changed", cleaned.changes, "rule")
        effects += _effects(terms, "doubted", cleaned.reviews, "reason")
        refused = cleaned.refused.rename({"row": "line"})
        cells = Chunk(chunk.lines, cleaned.frame, chunk.damaged)
    checked = check(cells, parse(cells, terms.release.schema), terms.register, terms.release.schema, terms.agency)
    refused = refusals.together([refused, checked.refused])
    good = checked.lines.filter(~checked.lines.is_in(refused["line"].implode()))
    return len(good), effects + _effects(terms, "refused", refused.rename({"line": "row"}), "reason")


def tell(found: Checklist, terms: Terms, rows: int, of_what: str, made: tuple[int, list[Effect]]) -> None:
    """Add what became of a sample's rows."""
    good, effects = made
    found.effects += effects
    told = f"{good} of {rows} {of_what} would be sent; none was"
    found.add(terms.register.name, "sample", told, "fine" if good == rows else "look")


def first_rows(chunks: Iterable[Chunk]) -> Chunk | None:
    """The first 100 rows; None where there is none."""
    chunk = next(iter(chunks), None)
    if chunk is None:
        return None
    some = tuple(each for each in chunk.damaged if each.line <= SAMPLE_ROWS + 1)
    return Chunk(chunk.lines.head(SAMPLE_ROWS), chunk.cells.head(SAMPLE_ROWS), some)


def _effects(terms: Terms, effect: str, told: pl.DataFrame, by: str) -> list[Effect]:
    expected = pl.col("expected").first() if "expected" in told.columns else pl.lit("").alias("expected")
    counted = told.group_by("field", by, maintain_order=True).agg(
        pl.col("row").n_unique().alias("rows"), pl.col("row").min().alias("first"), expected
    )
    return [
        Effect(terms.register.name, effect, field or "(row)", rule, rows, first, text or "")  # type: ignore[arg-type]
        for field, rule, rows, first, text in counted.iter_rows()
    ]
