"""TCVN3 and VNI, typed in fonts of their own before Unicode, to Unicode. Which of them a source is, it declares.

The tables are viparse's (MIT). Two letters that its corpus had none of, and that UniKey's table of VNI Windows has,
are added. TCVN3 has no capital letters with marks: a capitals font drew them; ``upper`` brings them back.
"""

import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from functools import cache

import polars as pl

from producers.cleaning.rule import Rule, unread


class Encoding(StrEnum):
    UTF8 = "utf-8"
    TCVN3 = "tcvn3"
    VNI = "vni"


MISSING_IN_VIPARSE: Mapping[Encoding, tuple[tuple[str, str], ...]] = {
    Encoding.TCVN3: (),
    Encoding.VNI: (("aú", "ẳ"), ("AÚ", "Ẳ"), ("î", "ỵ"), ("Î", "Ỵ")),
}
# Letters that stand for themselves, since Latin-1 has them ready.
SELF: Mapping[Encoding, str] = {Encoding.TCVN3: "", Encoding.VNI: "ìíÌÍ"}


def decoding(encoding: Encoding) -> tuple[Rule, ...]:
    """The rule that makes Unicode of a column; none for what is Unicode already. It is run once: it does not repeat."""
    return () if encoding is Encoding.UTF8 else (_rule(encoding),)


def decode(text: str, encoding: Encoding) -> str:
    """One text, such as a column's name."""
    rules = decoding(encoding)
    found = pl.select(rules[0].clean(pl.lit(text))).item() if rules else text
    return text if found is None else str(found)


@cache
def _rule(encoding: Encoding) -> Rule:
    old, new = _table(encoding)
    stray = _stray(encoding)
    return Rule(
        name=encoding.value,
        says=f"makes Unicode of {encoding.value.upper()}, where the mapping declares it",
        clean=lambda column: pl.when(~column.str.contains(stray)).then(
            column.str.replace_many(old, new, leftmost=True)
        ),
        refuses=unread,
        reason="encoding",
        expected=f"text in {encoding.value.upper()}, as the mapping declares; this has letters that it lacks: declare "
        "the column's own encoding, or type the cell as the others are",
        where=r"[^\x00-\x7f]",
    )


@cache
def _table(encoding: Encoding) -> tuple[list[str], list[str]]:
    """Sequences and letters, longest first, so that a vowel with its marks goes before the vowel alone."""
    from viparse.normalize.encodings import CHARMAPS  # noqa: PLC0415 - 50 ms, and few sources need it

    pairs = {**dict(CHARMAPS[encoding.value].pairs), **dict(MISSING_IN_VIPARSE[encoding])}
    ordered = sorted(pairs.items(), key=lambda pair: -len(pair[0]))
    return [old for old, _ in ordered], [new for _, new in ordered]


def _stray(encoding: Encoding) -> str:
    """Letters and marks that text of this encoding cannot hold, so that it is another one: mixed, or Unicode."""
    own = {letter for old in _table(encoding)[0] for letter in old} | set(SELF[encoding])
    latin = [chr(code) for code in range(0x80, 0x100)]
    strangers = "".join(each for each in latin if unicodedata.category(each).startswith("L") and each not in own)
    return rf"[{strangers}[\p{{L}}\p{{M}}--[\x00-\u{{ff}}]]]"
