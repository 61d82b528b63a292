"""Schema resolution on columns: from what a writer wrote to what the reader wants, added, renamed and widened fields.

The same answers as Avro's own resolution gives one record at a time (Avro 1.12, "Schema Resolution"), or Unreadable.
Nested values become JSON text on the way, as a store keeps them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from consumers.reading.block import Unreadable
from consumers.stores.base import ENVELOPE, Table

ODD = "\x00odd"
"""In JSON text, in the place of a date that Python has no form for: the row way decides about its row."""

FIRST_DAY, LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, in days from 1970-01-01
DAY_US = 86_400_000_000
_NUMBERS = ("int", "long", "float", "double")


@dataclass(frozen=True, slots=True)
class Types:
    """A schema's type with the named types that it may refer to."""

    avro: Any
    named: Mapping[str, Any]

    def to(self, avro: Any) -> "Types":
        return Types(avro, self.named)

    @property
    def nullable(self) -> bool:
        return isinstance(self.avro, list)

    @property
    def bare(self) -> Any:
        """Without null, names looked up."""
        found = next(branch for branch in self.avro if branch != "null") if self.nullable else self.avro
        return self.named.get(found, found) if isinstance(found, str) else found

    @property
    def kind(self) -> str:
        bare = self.bare
        inner = bare["type"] if isinstance(bare, Mapping) else bare
        return str(inner)

    @property
    def logical(self) -> str | None:
        bare = self.bare
        return bare.get("logicalType") if isinstance(bare, Mapping) else None


def types_of(schema: Mapping[str, Any]) -> Types:
    named: dict[str, Any] = {}
    _collect(schema, named)
    return Types(schema, named)


def envelope_columns(writer: Mapping[str, Any]) -> list[pl.Expr]:
    """The envelope's columns, and ``stateful``: whether there is a state at all. Raises Unreadable."""
    types = types_of(writer)
    fields = {field["name"]: types.to(field["type"]) for field in types.avro["fields"]}
    if not {*ENVELOPE, "state"} <= fields.keys() or fields["op"].kind != "enum":
        raise Unreadable("not the envelope of an event")
    op = pl.col("op").replace_strict(dict(enumerate(fields["op"].bare["symbols"])), return_dtype=pl.String)
    rest = [pl.col(name).cast(dtype) for name, dtype in ENVELOPE.items() if name != "op"]
    return [op, *rest, pl.col("state").is_not_null().alias("stateful")]


def state_columns(writer: Mapping[str, Any], reader: Mapping[str, Any], table: Table) -> list[pl.Expr]:
    """An expression for each column of the table, from the decoded ``state`` column. Raises Unreadable."""
    written, wanted = _state(types_of(writer)), _state(types_of(reader))
    state = pl.col("state")
    columns = []
    for field in wanted.bare["fields"]:
        found = _match(field, written.bare["fields"])
        name, dtype = field["name"], table.columns[field["name"]]
        if found is None:
            columns.append(_default(field, dtype, present=state.is_not_null()).alias(name))
            continue
        value = state.struct.field(found["name"])
        written_type, wanted_type = written.to(found["type"]), wanted.to(field["type"])
        columns.append(
            _nested_column(value, written_type, wanted_type, name)
            if dtype.is_nested()
            else _scalar(value, written_type, wanted_type).cast(dtype).alias(name)
        )
    return columns


def odd_rows(table: Table) -> list[pl.Expr]:
    """Conditions on the resolved columns under which the row way is asked, for it may see what columns do not."""
    found = [_out_of_range(pl.col(name)) for name in ("occurred_at", "recorded_at")]
    for name, dtype in table.columns.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Date):
            found.append(~column.cast(pl.Int32).is_between(FIRST_DAY, LAST_DAY))
        elif isinstance(dtype, pl.Datetime):
            found.append(_out_of_range(column))
        elif dtype.is_nested():
            found.append(column.str.contains(json.dumps(ODD)[1:-1], literal=True))
    return found


def _out_of_range(timestamp: pl.Expr) -> pl.Expr:
    return ~timestamp.cast(pl.Int64).is_between(FIRST_DAY * DAY_US, (LAST_DAY + 1) * DAY_US - 1)


def _state(types: Types) -> Types:
    field = next((field for field in types.avro["fields"] if field["name"] == "state"), None)
    if field is None:
        raise Unreadable("no field state")
    return types.to(field["type"])


def _match(field: Mapping[str, Any], written: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The writer's field of this name, or of one of its aliases."""
    by_name = {each["name"]: each for each in written}
    return next((by_name[name] for name in (field["name"], *field.get("aliases", ())) if name in by_name), None)


def _default(field: Mapping[str, Any], dtype: pl.DataType, present: pl.Expr) -> pl.Expr:
    if "default" not in field:
        raise Unreadable(f"field {field['name']} is new and has no default")
    value = field["default"]
    if value is None:
        return pl.lit(None, pl.String() if dtype.is_nested() else dtype)
    if dtype.is_nested():
        if value not in ([], {}):
            raise Unreadable("a nested default with content")
        return pl.when(present).then(pl.lit(json.dumps(value)))
    if dtype.is_temporal() or isinstance(dtype, pl.Binary | pl.Decimal):
        raise Unreadable(f"default of type {dtype}")
    return pl.when(present).then(pl.lit(value, dtype))


def _scalar(value: pl.Expr, written: Types, wanted: Types) -> pl.Expr:
    """One scalar, promoted as Avro allows."""
    _check_null(written, wanted)
    if written.kind == "enum":
        return _symbols(value, written, wanted)
    if written.logical != wanted.logical and {written.logical, wanted.logical} - {None, "uuid"}:
        raise Unreadable(f"{written.logical} read as {wanted.logical}")
    if written.kind == wanted.kind:
        return value
    if written.kind in _NUMBERS and wanted.kind in _NUMBERS[_NUMBERS.index(written.kind) :]:
        return value
    raise Unreadable(f"{written.kind} read as {wanted.kind}")


def _check_null(written: Types, wanted: Types) -> None:
    if written.nullable and not wanted.nullable:
        raise Unreadable("a value that may be null, read as one that may not")


def _symbols(value: pl.Expr, written: Types, wanted: Types) -> pl.Expr:
    """An enum was decoded as its index. One out of range raises, and the row way names the record."""
    symbols = written.bare["symbols"]
    if wanted.kind != "enum" or not set(symbols) <= set(wanted.bare["symbols"]):
        raise Unreadable("an enum whose symbols the reader does not have")
    return value.replace_strict(dict(enumerate(symbols)), return_dtype=pl.String)


def _nested_column(value: pl.Expr, written: Types, wanted: Types, name: str) -> pl.Expr:
    """A record or an array as compact JSON text, fields in the reader's order; null where the value is."""
    _check_null(written, wanted)
    wrapped = pl.struct(_json_value(value, written, wanted).alias("v")).struct.json_encode()
    text = wrapped.str.slice(len('{"v":')).str.head(-1)
    return pl.when(value.is_not_null()).then(text).alias(name)


def _json_value(value: pl.Expr, written: Types, wanted: Types) -> pl.Expr:
    _check_null(written, wanted)
    if written.kind != wanted.kind:
        raise Unreadable(f"{written.kind} read as {wanted.kind} inside a nested value")
    if written.kind == "record":
        return _json_record(value, written, wanted)
    if written.kind == "array":
        items = _json_value(pl.element(), written.to(written.bare["items"]), wanted.to(wanted.bare["items"]))
        return value.list.eval(items)
    return _json_scalar(_scalar(value, written, wanted), written)


def _json_record(value: pl.Expr, written: Types, wanted: Types) -> pl.Expr:
    parts = []
    for field in wanted.bare["fields"]:
        found = _match(field, written.bare["fields"])
        if found is None:
            if field.get("default", "") is not None:
                raise Unreadable("a new nested field with a default other than null")
            parts.append(pl.lit(None, pl.String()).alias(field["name"]))
        else:
            inner = value.struct.field(found["name"])
            resolved = _json_value(inner, written.to(found["type"]), wanted.to(field["type"]))
            parts.append(resolved.alias(field["name"]))
    return pl.when(value.is_not_null()).then(pl.struct(parts))


def _json_scalar(value: pl.Expr, written: Types) -> pl.Expr:
    if written.logical == "date":
        days = value.cast(pl.Int32)
        text = value.dt.strftime("%Y-%m-%d")
        in_range = days.is_between(FIRST_DAY, LAST_DAY)
        return pl.when(value.is_null()).then(None).when(in_range).then(text).otherwise(pl.lit(ODD))
    if written.logical is not None and written.logical != "uuid":
        raise Unreadable(f"{written.logical} inside a nested value")
    if written.kind in ("float", "double", "bytes"):
        raise Unreadable(f"{written.kind} inside a nested value")
    return value


def _collect(avro: Any, named: dict[str, Any]) -> None:
    if isinstance(avro, list):
        for branch in avro:
            _collect(branch, named)
    elif isinstance(avro, Mapping):
        if avro.get("type") in ("record", "enum", "fixed"):
            named[avro["name"]] = named[f"{avro.get('namespace')}.{avro['name']}"] = avro
        for inner in (avro.get("type"), avro.get("items"), *(field["type"] for field in avro.get("fields", ()))):
            _collect(inner, named)
