"""Cells that hold a list as JSON. Pure."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NoReturn

import polars as pl

from bus.schema.fields import Field, Record
from producers.filediff import refusals
from producers.filediff.forms import EXPECTED, REASON

DAY_FIRST = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
EXPECTED_JSON = 'a list in JSON, such as [{"name": "…"}]'


class _WrongError(Exception):
    """One value in a list that cannot be read: where, why, what was expected."""

    def __init__(self, at: str, reason: str, expected: str) -> None:
        super().__init__(at, reason, expected)
        self.told = (at, reason, expected)


@dataclass(frozen=True, slots=True)
class ParsedLists:
    values: pl.Series
    refused: refusals.Refusals


def parse_lists(cells: pl.Series, lines: pl.Series, field: Field, name: str, dtype: pl.DataType) -> ParsedLists:
    """One refusal per cell at most; it names the place in the list, such as ``documents[2].name``."""
    read: dict[str | None, Any] = {None: field.default}
    wrong: dict[str | None, tuple[str, str, str]] = {}
    for text in cells.unique().drop_nulls():
        try:
            read[text] = _value(field, _json(text, name), name)
        except _WrongError as error:
            read[text], wrong[text] = None, error.told
    values = pl.Series(field.name, [read[text] for text in cells], dtype=dtype)
    found = [(line, *wrong[text]) for line, text in zip(lines, cells, strict=True) if text in wrong]
    return ParsedLists(values, pl.DataFrame(found, schema=refusals.SCHEMA, orient="row"))


def _json(text: str, at: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _WrongError(at, "json", EXPECTED_JSON) from error


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _value(field: Field, value: Any, at: str) -> Any:
    """The value in the field's type. Whether it may be empty, and what else holds of it, the register's rules say."""
    if value is None:
        return None
    if field.items:
        if not isinstance(value, list):
            raise _WrongError(at, "json", EXPECTED_JSON)
        return [_value(field.items.fields[0], item, f"{at}[{place}]") for place, item in enumerate(value)]
    if field.record:
        return _record(field.record, value, at)
    try:
        return _SCALARS[field.kind](value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _WrongError(at, REASON[field.kind], EXPECTED[field.kind]) from error


def _record(record: Record, value: Any, at: str) -> dict[str, Any]:
    names = ", ".join(field.name for field in record.fields)
    if not isinstance(value, dict):
        raise _WrongError(at, "json", f"an object in JSON with {names}")
    strange = value.keys() - {field.name for field in record.fields}
    if strange:
        raise _WrongError(at, "unknown", f"only {names}")
    return {
        field.name: _value(field, value.get(field.name, field.default), f"{at}.{field.name}") for field in record.fields
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate has no UTF-8 form
    return unicodedata.normalize("NFC", value)


def _whole(bits: int) -> Callable[[Any], int]:
    limit = 2 ** (bits - 1)

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not -limit <= value < limit:
            raise TypeError
        return value

    return read


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _date(value: Any) -> date:
    if match := DAY_FIRST.fullmatch(value):
        day, month, year = map(int, match.groups())
        return date(year, month, day)
    if len(value) != len("yyyy-mm-dd"):
        raise ValueError
    return date.fromisoformat(value)


def _timestamp(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.utcoffset() is None:
        raise ValueError
    return moment.astimezone(UTC)


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "string": _text,
    "int": _whole(32),
    "long": _whole(64),
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
}
