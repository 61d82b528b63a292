"""A source's own codes to those of the bus, by the map that its mapping file declares."""

import unicodedata
from collections.abc import Mapping

import polars as pl

from producers.cleaning.rule import Doubt, Rule, unread


def codes(values: Mapping[str, str], otherwise: str | None, where: str) -> Rule:
    """``otherwise`` stands for every value that the map lacks, and is doubted; without it those are refused."""
    composed = {unicodedata.normalize("NFC", value): code for value, code in values.items()}
    wanted = sorted(composed)
    return Rule(
        name="codes",
        says="a source's own codes to those of the bus, by the declared map",
        clean=lambda column: pl.when(column.is_not_null()).then(
            column.replace_strict(composed, default=otherwise, return_dtype=pl.String)
        ),
        refuses=unread,
        expected=f"one of the source's codes that {where} maps; add it there, or correct it at the source",
        doubts=()
        if otherwise is None
        else (
            Doubt(
                "codes_otherwise",
                f"one of the source's codes that {where} maps; it was taken as {otherwise}",
                lambda before, _: before.is_not_null() & ~before.is_in(wanted),
            ),
        ),
    )


def default(code: str) -> Rule:
    """For empty cells of a source that leaves out what is usual."""
    return Rule(
        name="default", says="the declared value for an empty cell", clean=lambda column: column.fill_null(code)
    )
