"""The rules of a field, built from its schema attributes, and the row way of applying them: one state at a time.

The bulk way over the same rules is ``columns``.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from bus.schema.checks import CHECKS, Rule, column_matches, matches
from bus.schema.codes import CodeList
from bus.schema.fields import Field, Record, RegisterSchema

REQUIRED = "a value: this field may not be empty; fill it in at the source"
TYPES: Mapping[str, str] = {
    "string": "text",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
    "date": "a date without a time",
    "timestamp": "a point in time with its time zone",
    "record": "a record with named fields",
    "array": "a list",
}


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """One broken rule. Holds no value of the data, so that it may be logged and reported."""

    field: str
    """Where, with dots and indexes: ``permanent_address.ward_code``, ``documents[2].name``."""
    rule: str
    expected: str


def refusals(schema: RegisterSchema, state: Mapping[str, Any]) -> list[Refusal]:
    """Everything that is wrong with a state, at most one refusal for each field; empty if it may be published.

    A field that is left out has its default. Dates are ``date``, points in time ``datetime`` with a time zone.
    """
    return list(_record(schema.state, state, ""))


def scalar_refusals(record: Record, values: Mapping[str, Any], at: str = "") -> Iterator[Refusal]:
    """What is wrong with the record's own scalar fields, alone and between each other."""
    broken = set()
    for field in record.scalars:
        refusal = _scalar(field, values.get(field.name, field.default), at + field.name)
        if refusal:
            broken.add(field.name)
            yield refusal
    for agreement in record.agreements:
        given = [values.get(name) for name in agreement.fields]
        if broken.isdisjoint(agreement.fields) and not agreement.holds(*given):
            yield Refusal(at + agreement.fields[0], agreement.name, agreement.expected)


def pattern_rule(pattern: str, hint: str) -> Rule:
    return Rule("pattern", hint, matches(pattern), column_matches(pattern))


def codes_rule(codes: CodeList) -> Rule:
    """Only codes in force: an ended code may stand in old events, not in new ones."""
    current, ordered = codes.current, sorted(codes.current)
    expected = f"a code in force of the list {codes.name} ({codes.place}); map the source's own code to it"
    return Rule("codes", expected, lambda value: value in current, lambda column: column.is_in(ordered))


def int_rule() -> Rule:
    """Frames hold every whole number in 64 bits, Avro's ``int`` has 32."""
    low, high = -(2**31), 2**31 - 1
    return Rule("type", TYPES["int"], lambda value: low <= value <= high, lambda column: column.is_between(low, high))


def finite_rule() -> Rule:
    """Python and Polars order NaN differently, and no register counts in infinities."""
    return Rule("type", TYPES["double"], math.isfinite, lambda column: column.is_finite())


def check_rule(name: str) -> Rule:
    return CHECKS[name]


def minimum_rule(limit: float) -> Rule:
    return Rule("minimum", f"{limit} or more", lambda value: bool(value >= limit), lambda column: column >= limit)


def maximum_rule(limit: float) -> Rule:
    return Rule("maximum", f"{limit} or less", lambda value: bool(value <= limit), lambda column: column <= limit)


def max_length_rule(limit: int) -> Rule:
    """Length in Unicode code points."""
    expected = f"at most {limit} characters; shorten it or move the rest elsewhere"
    return Rule("max_length", expected, lambda value: len(value) <= limit, lambda c: c.str.len_chars() <= limit)


def _record(record: Record, state: Any, at: str) -> Iterator[Refusal]:
    known = {field.name for field in record.fields}
    for name in state:
        if name not in known:
            yield Refusal(f"{at}{name}", "unknown", "a field that the register has; remove it or correct its name")
    yield from scalar_refusals(record, state, at)
    for field in record.nested:
        yield from _nested(field, state.get(field.name, field.default), at + field.name)


def _nested(field: Field, value: Any, at: str) -> Iterator[Refusal]:
    if value is None or not _FITS[field.kind](value):
        refusal = _misfit(field, value, at)
        if refusal:
            yield refusal
    elif field.record:
        yield from _record(field.record, value, f"{at}.")
    elif field.items:
        for index, item in enumerate(value):
            yield from _record(field.items, {"": item}, f"{at}[{index}]")


def _scalar(field: Field, value: Any, at: str) -> Refusal | None:
    if value is None or not _FITS[field.kind](value):
        return _misfit(field, value, at)
    return next((Refusal(at, rule.name, rule.expected) for rule in field.rules if not rule.holds(value)), None)


def _misfit(field: Field, value: Any, at: str) -> Refusal | None:
    if value is None:
        return None if field.nullable else Refusal(at, "required", REQUIRED)
    return Refusal(at, "type", TYPES[field.kind])


def _is_text(value: Any) -> bool:
    """A lone surrogate is no Unicode text: it has no UTF-8 form, so that Avro cannot carry it."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))


def _is_whole(bits: int) -> Callable[[Any], bool]:
    limit = 2 ** (bits - 1)
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_whole(64)(value)


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "string": _is_text,
    "int": _is_whole(64),
    "long": _is_whole(64),
    "float": _is_number,
    "double": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "date": lambda value: isinstance(value, dt.date) and not isinstance(value, dt.datetime),
    "timestamp": lambda value: isinstance(value, dt.datetime) and value.utcoffset() is not None,
    "record": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, Sequence) and not isinstance(value, str | bytes),
}
POLARS_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "int": pl.Int64(),
    "long": pl.Int64(),
    "float": pl.Float64(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us", "UTC"),
}
