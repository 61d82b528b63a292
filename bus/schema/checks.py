r"""Named checks of one text value, each in two forms side by side: for a Python string and for a Polars column.

A property test holds the two forms equal. Digits are always ``[0-9]``: ``\d`` would let other scripts' digits pass.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

import polars as pl
from stdnum.vn import mst

TAX = "[0-9]{10}"
TAX_OR_BRANCH = TAX + "(?:-[0-9]{3})?"
PERSONAL = "[0-9]{12}"
PARTIAL_DATE = "(?:1[89]|2[0-9])[0-9]{2}(?:-[0-9]{2}(?:-[0-9]{2})?)?"
# Fits every form seen: H15.50-260706-1377, 000.00.14.H56-200203-0118, 38.98.H29-210519-0013.
DOSSIER = r"(?:(?:[0-9]{2,3}\.){1,3}[A-Z][0-9]{2}|[A-Z][0-9]{2}(?:\.[0-9]{1,3}){0,4})-[0-9]{6}-[0-9]{4,6}"
PROCEDURE = r"[0-9]\.[0-9]{6}(?:\.[0-9]{3}\.[0-9]{2}\.[0-9]{2}\.[A-Z][0-9]{2})?"
AGENCY = r"[A-Z][0-9]{2}(?:\.[0-9]{1,3}){0,4}|(?:[0-9]{2,3}\.){1,3}[A-Z][0-9]{2}"
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff"
_BLANK = r" \u00a0\u2000-\u200b\u202f\u3000" + _CONTROL
TEXT = f"[^{_BLANK}](?:[^{_CONTROL}]*[^{_BLANK}])?"


@dataclass(frozen=True, slots=True)
class Rule:
    """One test of one value that is present and of the right type."""

    name: str
    expected: str
    """What is expected and what to do, without the value."""
    holds: Callable[[Any], bool]
    column: Callable[[pl.Expr], pl.Expr]
    """The same as a boolean column; null counts as broken."""


def matches(pattern: str) -> Callable[[str], bool]:
    """Full match in Python."""
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def column_matches(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    """Full match in Polars, whose regular expressions are Rust's."""
    return lambda column: column.str.contains(rf"\A(?:{pattern})\z")


def _text(value: str) -> bool:
    return unicodedata.is_normalized("NFC", value) and _is_text(value)


def _text_column(column: pl.Expr) -> pl.Expr:
    return column_matches(TEXT)(column) & (column.str.normalize("NFC") == column)


def _partial_date(value: str) -> bool:
    return _is_partial_date(value) and _exists(value + "-01-01"[len(value) - 4 :])


def _partial_date_column(column: pl.Expr) -> pl.Expr:
    length = column.str.len_chars()
    padding = pl.when(length == 4).then(pl.lit("-01-01")).when(length == 7).then(pl.lit("-01")).otherwise(pl.lit(""))
    whole = (column + padding).str.to_date("%Y-%m-%d", strict=False)
    return column_matches(PARTIAL_DATE)(column) & whole.is_not_null()


def _exists(iso: str) -> bool:
    try:
        date.fromisoformat(iso)
    except ValueError:
        return False
    return True


def _dossier_code(value: str) -> bool:
    received = value.split("-")[1] if _is_dossier(value) else "000000"
    return _exists(f"20{received[:2]}-{received[2:4]}-{received[4:]}")


def _dossier_code_column(column: pl.Expr) -> pl.Expr:
    received = pl.lit("20") + column.str.extract("-([0-9]{6})-", 1)
    return column_matches(DOSSIER)(column) & received.str.to_date("%Y%m%d", strict=False).is_not_null()


def _enterprise_code(value: str) -> bool:
    return _is_tax_or_branch(value) and bool(mst.is_valid(value))


def _enterprise_code_column(column: pl.Expr) -> pl.Expr:
    """The tax authority's check digit: 10 less the weighted sum of nine digits modulo 11 (as ``stdnum.vn.mst``)."""
    number = column.str.slice(0, 10).cast(pl.Int64, strict=False)
    digits = number // 10
    total = pl.sum_horizontal(
        [(digits // 10 ** (8 - place) % 10) * weight for place, weight in enumerate((31, 29, 23, 19, 17, 13, 7, 5, 3))]
    )
    serial_given = digits % 10**7 != 0
    branch_given = ~column.str.ends_with("-000")
    checked = number % 10 == 10 - total % 11
    return column_matches(TAX_OR_BRANCH)(column) & serial_given & branch_given & checked


def _tax_id(value: str) -> bool:
    return _is_personal(value) or _enterprise_code(value)


def _tax_id_column(column: pl.Expr) -> pl.Expr:
    return column_matches(PERSONAL)(column) | _enterprise_code_column(column).fill_null(value=False)


_is_text, _is_partial_date, _is_dossier = matches(TEXT), matches(PARTIAL_DATE), matches(DOSSIER)
_is_tax_or_branch, _is_personal = matches(TAX_OR_BRANCH), matches(PERSONAL)


def _named(*rules: Rule) -> Mapping[str, Rule]:
    return MappingProxyType({rule.name: rule for rule in rules})


CHECKS: Mapping[str, Rule] = _named(
    Rule(
        "text",
        "one line of text in Unicode NFC, not empty, no blanks at its ends, no control characters; clean or omit it",
        _text,
        _text_column,
    ),
    Rule(
        "partial_date",
        "a date that exists, only as precise as it is known: YYYY, YYYY-MM or YYYY-MM-DD; do not pad it",
        _partial_date,
        _partial_date_column,
    ),
    Rule(
        "personal_id",
        "12 digits, leading zeros kept, as printed on the identity card",
        _is_personal,
        column_matches(PERSONAL),
    ),
    Rule(
        "enterprise_code",
        "10 digits with a right check digit, a branch with a suffix -001 to -999; look for a mistyped digit",
        _enterprise_code,
        _enterprise_code_column,
    ),
    Rule(
        "tax_id",
        "10 digits with a right check digit, a branch with a suffix -001 to -999, or a 12-digit personal number; look "
        "for a mistyped digit",
        _tax_id,
        _tax_id_column,
    ),
    Rule(
        "dossier_code",
        "agency code, date received as YYMMDD that exists, and a sequence of 4 to 6 digits, joined by hyphens",
        _dossier_code,
        _dossier_code_column,
    ),
    Rule(
        "procedure_code",
        "a procedure code such as 1.000656, or its older form with the suffix .000.00.00.H29",
        matches(PROCEDURE),
        column_matches(PROCEDURE),
    ),
    Rule(
        "agency_code",
        "an agency code such as H29.5",
        matches(AGENCY),
        column_matches(AGENCY),
    ),
)
