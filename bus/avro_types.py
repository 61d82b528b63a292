"""Avro types as Polars types: how the fields of a register's state lie in a frame."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from bus.errors import CatalogInvalid

_PRIMITIVE: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "bytes": pl.Binary(),
    "int": pl.Int64(),
    "long": pl.Int64(),
    "float": pl.Float64(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
}
_LOGICAL: Mapping[str, pl.DataType] = {
    "date": pl.Date(),
    "timestamp-micros": pl.Datetime("us", "UTC"),
    "timestamp-millis": pl.Datetime("us", "UTC"),
    "uuid": pl.String(),
}
_TEXT = ("enum", "fixed")


def state_types(schema: Mapping[str, Any]) -> dict[str, pl.DataType]:
    """Fields of a register's state, in order, with their types. Raises CatalogInvalid where there is no state record."""
    state = next((field["type"] for field in schema.get("fields", ()) if field["name"] == "state"), None)
    record = _without_null(state)
    if not isinstance(record, Mapping) or record.get("type") != "record":
        raise CatalogInvalid(f"schema {schema.get('name')}: field state must be null or a record")
    named: dict[str, Any] = {}
    _collect(schema, named)
    return {field["name"]: polars_type(field["type"], named) for field in record["fields"]}


def polars_type(avro: Any, named: Mapping[str, Any]) -> pl.DataType:
    """One Avro type; ``named`` holds the records, enums and fixed types that the schema defines."""
    found = _without_null(avro)
    if isinstance(found, str) and found in named:
        found = named[found]
    if isinstance(found, str) and found in _PRIMITIVE:
        return _PRIMITIVE[found]
    if isinstance(found, Mapping):
        return _complex(found, named)
    raise CatalogInvalid(f"Avro type {found} has no place in a replica: use a record, an array, or a primitive type")


def _complex(found: Mapping[str, Any], named: Mapping[str, Any]) -> pl.DataType:
    kind = found["type"]
    if found.get("logicalType") == "decimal":
        return pl.Decimal(found["precision"], found.get("scale", 0))
    if found.get("logicalType") in _LOGICAL:
        return _LOGICAL[found["logicalType"]]
    if kind == "record":
        return pl.Struct({field["name"]: polars_type(field["type"], named) for field in found["fields"]})
    if kind == "array":
        return pl.List(polars_type(found["items"], named))
    if kind in _TEXT:
        return pl.String()
    return polars_type(kind, named)


def _without_null(avro: Any) -> Any:
    if not isinstance(avro, list):
        return avro
    rest = [branch for branch in avro if branch != "null"]
    return rest[0] if len(rest) == 1 else avro


def _collect(avro: Any, named: dict[str, Any]) -> None:
    """Every named type by its full name and, as Avro lets a schema refer to it, by its short one."""
    if isinstance(avro, list):
        for branch in avro:
            _collect(branch, named)
    elif isinstance(avro, Mapping):
        if avro.get("type") in ("record", "enum", "fixed"):
            named[avro["name"]] = avro
            named[f"{avro.get('namespace', '')}.{avro['name']}"] = avro
        for inner in (avro.get("type"), avro.get("items"), *(field["type"] for field in avro.get("fields", ()))):
            if isinstance(inner, list | Mapping):
                _collect(inner, named)
