"""Names of people: what does not belong to one, and the key by which two spellings of one are compared."""

import re
import unicodedata

import polars as pl

from producers.cleaning.rule import Doubt, Rule, by_value

EDGES = ' .,;:*_"“”-–—'
VOWELS = {"oa": ("òóỏõọ", "àáảãạ"), "oe": ("òóỏõọ", "èéẻẽẹ"), "uy": ("ùúủũụ", "ỳýỷỹỵ")}
"""Vowel pairs at a syllable's end that are written in two ways: hòa and hoà, khỏe and khoẻ, thúy and thuý."""
ONE_PLACE = {
    pair[0] + second: first + pair[1]
    for pair, (firsts, seconds) in VOWELS.items()
    for first, second in zip(firsts, seconds, strict=True)
}
# Not in Quý, whose u belongs to qu, nor in Huỳnh, where a consonant follows: those are written in one way only.
MOVED = re.compile(rf"(?<!q)(?:{'|'.join(ONE_PLACE)})(?!\w)")


def _name(column: pl.Expr) -> pl.Expr:
    bare = column.str.strip_chars(EDGES)
    return pl.when(bare != "").then(bare)


def _titled(column: pl.Expr) -> pl.Expr:
    one_case = (column == column.str.to_uppercase()) | (column == column.str.to_lowercase())
    return pl.when(one_case).then(by_value(_title)(column)).otherwise(column)


def _title(name: str) -> str:
    """A capital at the start of each word; ``H'Hen`` has one after its apostrophe too."""
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", re.sub(r"[^\W\d_]+", lambda word: word[0].capitalize(), composed))


def key(name: str) -> str:
    """One name as ``name_key`` has it."""
    folded = " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).split())
    return MOVED.sub(lambda found: ONE_PLACE[found[0]], folded)


NAME = Rule(
    name="name",
    says="removes punctuation at a name's ends; doubts digits in it",
    clean=_name,
    where=rf"[0-9]|^[{re.escape(EDGES)}]|[{re.escape(EDGES)}]$",
    doubts=(
        Doubt(
            "digits_in_name",
            "a name without digits; the cell may hold something else besides",
            lambda _, after: after.str.contains(r"[0-9]"),
        ),
    ),
)
TITLE = Rule(
    name="title",
    says="capitals at the start of each word, where a name is in one case throughout",
    clean=_titled,
)


def name_key(names: pl.Expr) -> pl.Expr:
    """By what names are compared: NFC, case folded, single spaces, one tone placement; accents are kept.

    hoà and hòa are one; Thanh An and Thạnh An are two.
    """
    return by_value(key)(names)
