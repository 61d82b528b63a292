"""Schema resolution on columns: from what a writer wrote to what the reader wants, added, renamed and widened fields.

The same answers as fastavro's resolution (Avro 1.12, "Schema Resolution") gives one record at a time, or Unreadable.
Nested values become JSON text on the way, as a store keeps them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from bus.avro_types import ParsedType
from consumers.reading.aliases import aimed
from consumers.reading.block import Unreadable
from consumers.stores.model import ENVELOPE, Table

STATEFUL = "#stateful"
"""Column: whether there is a state at all. No Avro name starts with #."""
ODD = "\x00odd"
"""In JSON text, in the place of a value that Python has no form for."""
UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""The spelling that the row way gives; others it rewrites."""

FIRST_DAY, LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, in days from 1970-01-01
DAY_US = 86_400_000_000
_UNIT_US = {"date": DAY_US, "timestamp-micros": 1, "timestamp-millis": 1_000}
_NUMBERS = ("int", "long", "float", "double")
_UTC = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Resolved:
    """Expressions on a decoded block."""

    columns: Sequence[pl.Expr]
    """The envelope's and the state's columns, and ``STATEFUL``. An enum or a boolean out of range raises."""
    odd: pl.Expr
    """Rows about which the row way is asked, for a scalar in them may mean something else to Python."""


def resolve(writer: Mapping[str, Any], reader: Mapping[str, Any], table: Table) -> Resolved:
    """How events written with one schema become the reader's columns. Raises Unreadable."""
    columns, odd = _envelope(ParsedType(writer), ParsedType(aimed(reader, writer)), table)
    return Resolved(columns, pl.any_horizontal(odd).fill_null(value=False))


def odd_texts(table: Table) -> list[pl.Expr]:
    """The same of values inside nested columns, as conditions on the resolved columns."""
    mark = json.dumps(ODD)[1:-1]
    return [pl.col(name).str.contains(mark, literal=True) for name, dtype in table.columns.items() if dtype.is_nested()]


def _envelope(written: ParsedType, wanted: ParsedType, table: Table) -> tuple[list[pl.Expr], list[pl.Expr]]:
    found = _matches(written, wanted)
    if not {*ENVELOPE, "state"} <= found.keys():
        raise Unreadable("not the envelope of an event")
    columns, odd = [], []
    for name, dtype in ENVELOPE.items():
        was, to = ParsedType(found[name]["type"]), ParsedType(wanted.fields[name]["type"])
        if to.nullable and name != "replaced_by":
            raise Unreadable(f"an envelope in which {name} may be null")
        value = pl.col(found[name]["name"])
        columns.append(_scalar(value, was, to, dtype).alias(name))
        odd += _odd(value, was) if name != "event_id" else []  # its spelling is checked whatever its type
    state, was = pl.col(found["state"]["name"]), ParsedType(found["state"]["type"])
    columns.append(state.is_not_null().alias(STATEFUL))
    more, odder = _state(state, was, ParsedType(wanted.fields["state"]["type"]), table)
    return columns + more, odd + odder


def _state(
    state: pl.Expr, written: ParsedType, wanted: ParsedType, table: Table
) -> tuple[list[pl.Expr], list[pl.Expr]]:
    _check_null(written, wanted)
    found = _matches(written, wanted)
    columns, odd = [], []
    for name, dtype in table.columns.items():
        if name not in found:
            columns.append(_default(wanted.fields[name], dtype, present=state.is_not_null()).alias(name))
            continue
        value = state.struct.field(found[name]["name"])
        was, to = ParsedType(found[name]["type"]), ParsedType(wanted.fields[name]["type"])
        if dtype.is_nested():
            columns.append(_json_text(value, was, to).alias(name))
        else:
            columns.append(_scalar(value, was, to, dtype).alias(name))
            odd += _odd(value, was)
    return columns, odd


def _matches(written: ParsedType, wanted: ParsedType) -> dict[str, Mapping[str, Any]]:
    """The writer's fields by their names in the reader's record, which has defaults for the rest."""
    if written.kind != "record" or wanted.kind != "record":
        raise Unreadable(f"{written.kind} read as {wanted.kind}")
    _check_names(written, wanted)
    aliases = {alias: name for name, field in wanted.fields.items() for alias in field.get("aliases", ())}
    found: dict[str, Mapping[str, Any]] = {}
    for name, field in written.fields.items():
        known = name if name in wanted.fields else aliases.get(name)
        if known is not None:
            found[known] = field
    if any(name not in found and "default" not in field for name, field in wanted.fields.items()):
        raise Unreadable("a new field without default")
    return found


def _check_names(written: ParsedType, wanted: ParsedType) -> None:
    """Named types have to agree on the last part of their names, or by the reader's alias."""
    name = str(written.bare["name"])
    last = name.rpartition(".")[2]
    if last != str(wanted.bare["name"]).rpartition(".")[2] and not {name, last} & set(wanted.bare.get("aliases", ())):
        raise Unreadable(f"{name} read as {wanted.bare['name']}")


def _check_null(written: ParsedType, wanted: ParsedType) -> None:
    if written.nullable and not wanted.nullable:
        raise Unreadable("a value that may be null, read as one that may not")


def _check_kinds(written: ParsedType, wanted: ParsedType) -> None:
    """The same, or numbers promoted as Avro allows."""
    _check_null(written, wanted)
    if {written.logical, wanted.logical} - {None, "uuid"} and written.logical != wanted.logical:
        raise Unreadable(f"{written.logical} read as {wanted.logical}")
    if written.kind == wanted.kind:
        return
    if written.kind not in _NUMBERS or wanted.kind not in _NUMBERS[_NUMBERS.index(written.kind) :]:
        raise Unreadable(f"{written.kind} read as {wanted.kind}")


def _default(field: Mapping[str, Any], dtype: pl.DataType, present: pl.Expr) -> pl.Expr:
    value = json.dumps(field["default"]) if dtype.is_nested() else field["default"]
    flat = pl.String() if dtype.is_nested() else dtype
    return pl.lit(None, flat) if field["default"] is None else pl.when(present).then(pl.lit(value, flat))


def _scalar(value: pl.Expr, written: ParsedType, wanted: ParsedType, dtype: pl.DataType) -> pl.Expr:
    _check_kinds(written, wanted)
    if written.logical == "date":
        return value.cast(pl.Int32, strict=False).cast(pl.Date)  # what is cut off is odd
    if written.logical in _UNIT_US:
        return (value * _UNIT_US[written.logical]).cast(_UTC)
    return _symbols(value, written, wanted).cast(dtype)


def _symbols(value: pl.Expr, written: ParsedType, wanted: ParsedType) -> pl.Expr:
    """Enums were decoded as their indices and booleans as their bytes. One out of range raises."""
    if written.kind == "boolean":
        return value.replace_strict({b"\x00": False, b"\x01": True}, return_dtype=pl.Boolean)
    if written.kind != "enum":
        return value
    _check_names(written, wanted)
    symbols = written.bare["symbols"]
    if not set(symbols) <= set(wanted.bare["symbols"]):
        raise Unreadable("an enum whose symbols the reader does not have")
    return value.replace_strict(dict(enumerate(symbols)), return_dtype=pl.String)


def _odd(value: pl.Expr, written: ParsedType) -> list[pl.Expr]:
    """Conditions under which a scalar is nothing that Python has, or another spelling of it."""
    if written.logical == "uuid":
        return [~value.str.contains(UUID)]
    return [~_in_range(value, written.logical)] if written.logical in _UNIT_US else []


def _in_range(value: pl.Expr, logical: str) -> pl.Expr:
    unit = _UNIT_US[logical]
    return value.is_between(FIRST_DAY * DAY_US // unit, ((LAST_DAY + 1) * DAY_US - 1) // unit)


def _json_text(value: pl.Expr, written: ParsedType, wanted: ParsedType) -> pl.Expr:
    """A record or an array as compact JSON text, fields in the reader's order; null where the value is."""
    wrapped = pl.struct(_json_value(value, written, wanted).alias("v")).struct.json_encode()
    text = wrapped.str.strip_prefix('{"v":').str.strip_suffix("}")
    return pl.when(value.is_not_null()).then(text)


def _json_value(value: pl.Expr, written: ParsedType, wanted: ParsedType) -> pl.Expr:
    _check_kinds(written, wanted)
    if written.kind == "record":
        return _json_record(value, written, wanted)
    if written.kind == "array":
        items = _json_value(pl.element(), ParsedType(written.bare["items"]), ParsedType(wanted.bare["items"]))
        return value.list.eval(items)
    if written.logical is not None:
        text = _json_logical(value, written.logical)
        return pl.when(value.is_null()).then(None).otherwise(text.fill_null(ODD))
    if {written.kind, wanted.kind} & {"float", "double", "bytes"}:
        raise Unreadable(f"{wanted.kind} inside a nested value")
    return _symbols(value, written, wanted)


def _json_record(value: pl.Expr, written: ParsedType, wanted: ParsedType) -> pl.Expr:
    found = _matches(written, wanted)
    parts = []
    for name, field in wanted.fields.items():
        if name in found:
            was, to = ParsedType(found[name]["type"]), ParsedType(field["type"])
            parts.append(_json_value(value.struct.field(found[name]["name"]), was, to).alias(name))
        elif field["default"] is None:
            parts.append(pl.lit(None, pl.String()).alias(name))
        else:
            raise Unreadable("a new nested field with a default other than null")
    return pl.when(value.is_not_null()).then(pl.struct(parts))


def _json_logical(value: pl.Expr, logical: str) -> pl.Expr:
    """As the row way spells it in JSON; null where it cannot."""
    if logical == "uuid":
        return pl.when(value.str.contains(UUID)).then(value)
    if logical not in _UNIT_US:
        raise Unreadable(f"{logical} inside a nested value")
    valid = pl.when(_in_range(value, logical)).then(value)
    if logical == "date":
        return valid.cast(pl.Int32).cast(pl.Date).dt.strftime("%Y-%m-%d")
    moment = (valid * _UNIT_US[logical]).cast(pl.Datetime("us"))
    whole = moment.dt.microsecond() == 0
    return pl.when(whole).then(moment.dt.strftime("%FT%T+00:00")).otherwise(moment.dt.strftime("%FT%T%.6f+00:00"))
