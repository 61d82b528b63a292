"""Named checks of several fields of one record, each in two forms: for Python values and for Polars columns.

They are tried only where each field alone is fine. What cannot be compared because a field is empty agrees.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import polars as pl

from bus.schema.checks import CHECKS, PERSONAL, column_matches, matches
from bus.schema.codes import CodeList

CITY = "79"
"""Province code of Ho Chi Minh City: the only one whose wards the list ``ward`` holds."""

Codes = Mapping[str, CodeList]


@dataclass(frozen=True, slots=True)
class Agreement:
    name: str
    kinds: tuple[str, ...]
    """Kind of each argument; ``same`` is any kind, alike in all arguments so marked."""
    expected: str
    """What is expected and what to do; ``{0}``, ``{1}`` stand for the fields' names."""
    holds: Callable[..., bool]
    column: Callable[..., pl.Expr]
    lists: tuple[str, ...] = ()
    """Code lists whose codes in force are passed first."""

    def bind(self, fields: tuple[str, ...], codes: Codes) -> "BoundAgreement":
        given = [codes[name].current for name in self.lists]
        return BoundAgreement(
            name=self.name,
            fields=fields,
            expected=self.expected.format(*fields),
            holds=lambda *values: self.holds(*given, *values),
            column=lambda *columns: self.column(*given, *columns),
        )


@dataclass(frozen=True, slots=True)
class BoundAgreement:
    """An agreement between named fields of one record; told under the first of them."""

    name: str
    fields: tuple[str, ...]
    expected: str
    holds: Callable[..., bool]
    column: Callable[..., pl.Expr]
    """Null counts as agreed."""


def _personal_id_agrees(personal_id: str | None, sex: str | None, birth_date: str | None) -> bool:
    """Digit 4 tells century and sex (0, 1: male, female born 19xx; 2, 3: 20xx; …), digits 5 and 6 the birth year."""
    if personal_id is None or not _is_personal(personal_id):
        return True
    digit, year = int(personal_id[3]), int(personal_id[4:6])
    year_agrees = birth_date is None or f"{1900 + digit // 2 * 100 + year}" == birth_date[:4]
    return year_agrees and (sex not in {"male", "female"} or (digit % 2 == 1) == (sex == "female"))


def _personal_id_agrees_column(personal_id: pl.Expr, sex: pl.Expr, birth_date: pl.Expr) -> pl.Expr:
    digit = personal_id.str.slice(3, 1).cast(pl.Int32, strict=False)
    year = personal_id.str.slice(4, 2).cast(pl.Int32, strict=False) + 1900 + digit // 2 * 100
    year_agrees = (year.cast(pl.String) == birth_date.str.slice(0, 4)).fill_null(value=True)
    sex_agrees = ((digit % 2 == 1) == (sex == "female")).fill_null(value=True)
    return year_agrees & (sex_agrees | ~sex.is_in(["male", "female"]).fill_null(value=False))


_PRECISIONS = {"year": 4, "month": 7, "day": 10}


def _precision_agrees(precision: str | None, birth_date: str | None) -> bool:
    return precision is None or birth_date is None or _PRECISIONS.get(precision) == len(birth_date)


def _precision_agrees_column(precision: pl.Expr, birth_date: pl.Expr) -> pl.Expr:
    wanted = precision.replace_strict(_PRECISIONS, default=0, return_dtype=pl.UInt32)
    return pl.when(precision.is_not_null()).then(wanted == birth_date.str.len_chars())


def _in_order(first: Any, second: Any) -> bool:
    return first is None or second is None or bool(first <= second)


def _differs(first: Any, second: Any) -> bool:
    return first is None or second is None or bool(first != second)


def _ward_in_city(wards: frozenset[str], ward: str | None, province: str | None, country: str | None) -> bool:
    return ward is None or province not in {None, CITY} or country not in {None, "VN"} or ward in wards


def _ward_in_city_column(wards: frozenset[str], ward: pl.Expr, province: pl.Expr, country: pl.Expr) -> pl.Expr:
    elsewhere = (province.fill_null(CITY) != CITY) | (country.fill_null("VN") != "VN")
    return elsewhere | ward.is_in(sorted(wards))


def _applicant_id_agrees(applicant_id: str | None, kind: str | None) -> bool:
    if applicant_id is None or kind is None:
        return True
    rule = {
        "citizen": _is_personal,
        "business": CHECKS["enterprise_code"].holds,
        "household": CHECKS["tax_id"].holds,
    }.get(kind)
    return rule is None or rule(applicant_id)


def _applicant_id_agrees_column(applicant_id: pl.Expr, kind: pl.Expr) -> pl.Expr:
    return (
        pl.when(applicant_id.is_null())
        .then(pl.lit(value=True))
        .when(kind == "citizen")
        .then(column_matches(PERSONAL)(applicant_id))
        .when(kind == "business")
        .then(CHECKS["enterprise_code"].column(applicant_id).fill_null(value=False))
        .when(kind == "household")
        .then(CHECKS["tax_id"].column(applicant_id).fill_null(value=False))
        .otherwise(pl.lit(value=True))
    )


def _unit_id_agrees(unit_id: str | None, code: str | None, valid_from: Any) -> bool:
    since = "unknown" if valid_from is None else valid_from.isoformat()
    return unit_id is None or code is None or unit_id == f"{code}@{since}"


def _unit_id_agrees_column(unit_id: pl.Expr, code: pl.Expr, valid_from: pl.Expr) -> pl.Expr:
    since = valid_from.dt.strftime("%Y-%m-%d").fill_null("unknown")
    return unit_id == code + pl.lit("@") + since


_is_personal = matches(PERSONAL)

AGREEMENTS: Mapping[str, Agreement] = MappingProxyType(
    {
        agreement.name: agreement
        for agreement in (
            Agreement(
                "personal_id_agrees",
                ("string", "string", "string"),
                "digit 4 and digits 5 and 6 of {0} agree with {1} and with the year of {2}; correct whichever is wrong",
                _personal_id_agrees,
                _personal_id_agrees_column,
            ),
            Agreement(
                "birth_date_precision_agrees",
                ("string", "string"),
                "{0} is year, month or day as {1} has the form YYYY, YYYY-MM or YYYY-MM-DD; do not pad the date",
                _precision_agrees,
                _precision_agrees_column,
            ),
            Agreement(
                "in_order",
                ("same", "same"),
                "{0} is not later than {1}; correct whichever is wrong at the source",
                _in_order,
                lambda first, second: first <= second,
            ),
            Agreement(
                "differs",
                ("same", "same"),
                "{0} is another value than {1}; correct it at the source",
                _differs,
                lambda first, second: first != second,
            ),
            Agreement(
                "ward_in_city",
                ("string", "string", "string"),
                "{0} is in force in the list ward if {1} is 79 or empty; convert an older code or name the province",
                _ward_in_city,
                _ward_in_city_column,
                ("ward",),
            ),
            Agreement(
                "applicant_id_agrees",
                ("string", "string"),
                "{0} is a 12-digit personal number if {1} is citizen, a valid tax code if it is business or household",
                _applicant_id_agrees,
                _applicant_id_agrees_column,
            ),
            Agreement(
                "unit_id_agrees",
                ("string", "string", "date"),
                "{0} is {1}, an @, and {2} as YYYY-MM-DD, or the word unknown where that is empty",
                _unit_id_agrees,
                _unit_id_agrees_column,
            ),
        )
    }
)
