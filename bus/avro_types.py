"""Avro types as Polars types: how the fields of a register's state lie in a frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
from fastavro.read import LOGICAL_READERS

from bus.codec import parse
from bus.errors import CatalogInvalid

_PRIMITIVE: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "bytes": pl.Binary(),
    "fixed": pl.Binary(),
    "enum": pl.String(),
    "int": pl.Int64(),
    "long": pl.Int64(),
    "float": pl.Float64(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
}
_LOGICAL: Mapping[tuple[str, str], pl.DataType] = {
    ("int", "date"): pl.Date(),
    ("long", "timestamp-micros"): pl.Datetime("us", "UTC"),
    ("long", "timestamp-millis"): pl.Datetime("us", "UTC"),
    ("string", "uuid"): pl.String(),
}
_DEFAULTS: Mapping[type[pl.DataType], tuple[type, ...]] = {
    pl.String: (str,),
    pl.Int64: (int,),
    pl.Float64: (int, float),
    pl.Boolean: (bool,),
}
_DIGITS = 38
"""Of the widest decimal that a frame and PostgreSQL's bindings hold in 128 bits."""


@dataclass(frozen=True, slots=True)
class ParsedType:
    """A type of a schema that ``codec.parse`` gave, so that it holds no names of types."""

    avro: Any

    @property
    def nullable(self) -> bool:
        return isinstance(self.avro, list) and "null" in self.avro

    @property
    def bare(self) -> Mapping[str, Any]:
        """Without null; a union of more types than one stays a union."""
        found = self.avro
        if isinstance(found, list):
            rest = [branch for branch in found if branch != "null"]
            found = rest[0] if len(rest) == 1 else "union"
        return found if isinstance(found, Mapping) else {"type": found}

    @property
    def kind(self) -> str:
        return str(self.bare["type"])

    @property
    def logical(self) -> str | None:
        """The logical type that decoding applies; as Avro demands, one that is not known there is ignored."""
        named = self.bare.get("logicalType")
        return str(named) if f"{self.kind}-{named}" in LOGICAL_READERS else None

    @property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """A record's fields by name."""
        return {field["name"]: field for field in self.bare.get("fields", ())}


def state_types(schema: Mapping[str, Any]) -> dict[str, pl.DataType]:
    """Fields of a register's state in order, with their types. Raises CatalogInvalid without a state record."""
    state = ParsedType(ParsedType(parse(schema)).fields.get("state", {"type": "null"})["type"])
    if state.kind != "record":
        raise CatalogInvalid(f"schema {schema.get('name')}: field state must be null or a record")
    return {name: _field(field) for name, field in state.fields.items()}


def _field(field: Mapping[str, Any]) -> pl.DataType:
    dtype = _polars(ParsedType(field["type"]))
    default = field.get("default")
    if default is not None and not _means_itself(default, dtype):
        raise CatalogInvalid(f"field {field['name']}: a default is null, [], or a plain text, number or truth value")
    return dtype


def _means_itself(default: Any, dtype: pl.DataType) -> bool:
    """Decoding gives a default as it stands in JSON: a date's is a number there, a record's lacks its own defaults."""
    return default == [] if isinstance(dtype, pl.List) else type(default) in _DEFAULTS.get(type(dtype), ())


def _polars(avro: ParsedType) -> pl.DataType:
    kind, logical = avro.kind, avro.logical
    if logical == "decimal" and avro.bare["precision"] <= _DIGITS:
        return pl.Decimal(avro.bare["precision"], avro.bare.get("scale", 0))
    if logical is not None:
        return _LOGICAL.get((kind, logical)) or _no_place(logical)
    if kind == "record":
        return pl.Struct({name: _inner(_field(field)) for name, field in avro.fields.items()})
    if kind == "array":
        return pl.List(_inner(_polars(ParsedType(avro.bare["items"]))))
    return _PRIMITIVE.get(kind) or _no_place(kind)


def _inner(dtype: pl.DataType) -> pl.DataType:
    """What is inside a record or an array is kept as JSON."""
    return _no_place(f"{dtype} inside another") if isinstance(dtype, pl.Binary | pl.Decimal) else dtype


def _no_place(kind: str) -> pl.DataType:
    raise CatalogInvalid(f"Avro type {kind} has no place in a replica: use a record, an array, or a primitive type")
