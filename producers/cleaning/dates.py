"""Dates and points in time from the forms that a source declares, as ISO 8601, no more precise than they are known.

A day or month written as 00 is not known: 00/00/1985 is 1985. Nothing is ever padded to 1 January.
"""

import re
from collections.abc import Sequence

import polars as pl

from bus.schema.checks import CHECKS
from producers.cleaning.rule import Rule, unread

COMMON = ("dd/mm/yyyy", "mm/yyyy", "yyyy", "yyyy-mm-dd", "yyyy-mm")
COMMON_TIMES = ("yyyyMMddHHmmss", "dd/mm/yyyy HH:mm:ss", "dd/mm/yyyy HH:mm", "iso")
EXCEL, ISO = "excel", "iso"
OFFSET = "+07:00"
"""Vietnam's since 1975: a point in time that names no offset is in the city's time."""
ISO_TIME = (
    r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$"
)
EXCEL_DAY = r"^[0-9]{2,7}(\.0+)?$"
EXCEL_FIRST, EXCEL_LAST = 61, 2_958_465  # 1 March 1900, after the day that Excel invented, to 31 December 9999
TOKEN = re.compile(r"yyyy|dd|mm|hh|ss|[a-z]+|[^a-z]+")
PARTS = {"yyyy": "year", "dd": "day", "mm": "month", "hh": "hour", "ss": "second"}
DATE_PARTS = ({"year"}, {"year", "month"}, {"year", "month", "day"})
TIME_PARTS = ({"year", "month", "day", "hour", "minute"}, {"year", "month", "day", "hour", "minute", "second"})


def why_no_date(form: str) -> str | None:
    """What is wrong with a declared form of a date, in words; None where nothing is."""
    if form == EXCEL or _parts(form) in DATE_PARTS:
        return None
    return "a form of a date has yyyy, mm, dd once each at most, and yyyy always; or is the word excel"


def why_no_time(form: str) -> str | None:
    """The same for a point in time."""
    if form == ISO or _parts(form) in TIME_PARTS:
        return None
    return "a form of a point in time has yyyy, MM, dd, HH, mm, perhaps ss, once each; or is the word iso"


def dates(forms: Sequence[str] = COMMON, *, partial: bool = True) -> Rule:
    """``partial``: whether a month or a year alone is enough for the field."""
    return Rule(
        name="date",
        says="reads a date in one of the declared forms as yyyy-mm-dd, yyyy-mm or yyyy: as much as is known",
        clean=lambda column: pl.coalesce([_existing(_date(column, form), partial=partial) for form in forms]),
        refuses=unread,
        expected=f"a date that exists, as {', '.join(forms)}" + ("" if partial else ", with its day"),
    )


def timestamps(forms: Sequence[str] = COMMON_TIMES) -> Rule:
    return Rule(
        name="timestamp",
        says="reads a point in time in one of the declared forms, without an offset in Vietnam's time",
        clean=lambda column: pl.coalesce([_time(column, form) for form in forms]),
        refuses=unread,
        expected=f"a point in time that exists, as {', '.join(forms)}",
    )


def _date(column: pl.Expr, form: str) -> pl.Expr:
    if form == EXCEL:
        days = pl.when(column.str.contains(EXCEL_DAY)).then(column.str.extract(r"^([0-9]+)").cast(pl.Int32))
        told = pl.date(1899, 12, 30) + pl.duration(days=days)
        return pl.when(days.is_between(EXCEL_FIRST, EXCEL_LAST)).then(told.dt.strftime("%Y-%m-%d"))
    pattern, parts = _pattern(form)
    iso = "-".join(f"${{{part}}}" for part in ("year", "month", "day") if part in parts)
    return pl.when(column.str.contains(pattern)).then(_padded(column.str.replace(pattern, iso)))


def _time(column: pl.Expr, form: str) -> pl.Expr:
    if form == ISO:
        return pl.when(column.str.contains(ISO_TIME)).then(column)
    pattern, parts = _pattern(form)
    second = ":${second}" if "second" in parts else ":00"
    day = _padded(column.str.replace(pattern, "${year}-${month}-${day}"))
    clock = column.str.replace(pattern, "${hour}:${minute}" + second).str.replace(r"^([0-9]):", "0${1}:")
    whole = day + "T" + clock
    exists = whole.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False).is_not_null()
    return pl.when(column.str.contains(pattern) & exists).then(whole + OFFSET)


def _padded(iso: pl.Expr) -> pl.Expr:
    """Days and months of one digit in two; what is written as 00 left out."""
    two = iso.str.replace(r"-([0-9])-", "-0${1}-").str.replace(r"-([0-9])$", "-0${1}")
    return two.str.replace(r"-00-00$", "").str.replace(r"-00$", "")


def _existing(iso: pl.Expr, *, partial: bool) -> pl.Expr:
    known = CHECKS["partial_date"].column(iso)
    return pl.when(known if partial else known & (iso.str.len_chars() == len("1985-03-12"))).then(iso)


def _parts(form: str) -> set[str]:
    """What a form names; nothing where it names something twice or by a word of no meaning."""
    named = [part for part, _ in _named(form) if part]
    return set(named) if len(named) == len(set(named)) and "?" not in named else set()


def _named(form: str) -> list[tuple[str, str]]:
    """Each token as (part, text): the part is empty between parts, ``?`` where the letters mean nothing."""
    found = []
    after_hour = False
    for text in TOKEN.findall(form.lower()):
        part = PARTS.get(text, "?" if text[0].isalpha() else "")
        if part == "month" and after_hour:  # HH:mm is hours and minutes
            part = "minute"
        if part:
            after_hour = part == "hour"
        found.append((part, text))
    return found


def _pattern(form: str) -> tuple[str, set[str]]:
    """A regular expression with a group per part. Days and months may have one digit where something divides them."""
    tokens = _named(form)
    divided = any(not part for part, _ in tokens)
    width = "{1,2}" if divided else "{2}"
    made = [
        rf"(?P<{part}>[0-9]{'{4}' if part == 'year' else '{2}' if part in {'minute', 'second'} else width})"
        if part
        else re.escape(text)
        for part, text in tokens
    ]
    return f"^{''.join(made)}$", {part for part, _ in tokens if part}
