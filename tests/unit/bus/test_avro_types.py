from typing import Any

import polars as pl
import pytest

from bus.avro_types import state_types
from bus.errors import CatalogInvalid

RECORD = {"type": "record", "name": "Part", "fields": [{"name": "x", "type": "string"}]}


def schema(*fields: Any, **attributes: Any) -> dict[str, Any]:
    """A register's schema with these types as fields a, b, … of its state, ``attributes`` on each."""
    named = [{"name": name, "type": avro, **attributes} for name, avro in zip("abcdefgh", fields, strict=False)]
    state = {"type": "record", "name": "State", "fields": named}
    return {
        "type": "record",
        "name": "Thing",
        "namespace": "vn.x",
        "fields": [{"name": "state", "type": ["null", state]}],
    }


@pytest.mark.parametrize(
    ("avro", "expected"),
    [
        ("string", pl.String()),
        ("int", pl.Int64()),
        (["null", "float"], pl.Float64()),
        (["boolean", "null"], pl.Boolean()),
        ({"type": "string"}, pl.String()),
        ({"type": "fixed", "name": "Four", "size": 4}, pl.Binary()),
        ({"type": "enum", "name": "Colour", "symbols": ["RED"]}, pl.String()),
        ({"type": "int", "logicalType": "date"}, pl.Date()),
        ({"type": "long", "logicalType": "timestamp-millis"}, pl.Datetime("us", "UTC")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, pl.Decimal(9, 2)),
        ({"type": "string", "logicalType": "date"}, pl.String()),
        ({"type": "long", "logicalType": "of-a-stranger"}, pl.Int64()),
        ({"type": "array", "items": RECORD}, pl.List(pl.Struct({"x": pl.String()}))),
    ],
)
def test_each_type_has_its_column(avro: Any, expected: pl.DataType) -> None:
    assert state_types(schema(avro)) == {"a": expected}


@pytest.mark.parametrize("name", ["Part", "vn.x.Part"])
def test_a_type_used_again_is_found_by_short_and_full_name(name: str) -> None:
    types = state_types(schema(RECORD, ["null", name], {"type": "array", "items": name}))
    assert types["a"] == types["b"] == pl.Struct({"x": pl.String()})


@pytest.mark.parametrize(
    "avro",
    [
        {"type": "map", "values": "string"},
        ["null", "string", "long"],
        ["null"],
        "null",
        {"type": "int", "logicalType": "time-millis"},
        {"type": "long", "logicalType": "local-timestamp-micros"},
        {"type": "bytes", "logicalType": "decimal", "precision": 39},
        {"type": "array", "items": "bytes"},
        {"type": "record", "name": "R", "fields": [{"name": "x", "type": {"type": "fixed", "name": "F", "size": 1}}]},
        {"type": "array", "items": {"type": "bytes", "logicalType": "decimal", "precision": 3}},
    ],
)
def test_a_type_without_a_column_or_a_form_in_json_is_refused(avro: Any) -> None:
    with pytest.raises(CatalogInvalid, match="no place in a replica"):
        state_types(schema(avro))


@pytest.mark.parametrize(
    ("avro", "default"),
    [
        ({"type": "int", "logicalType": "date"}, 0),
        ("bytes", "\u00ff"),
        ("long", "1"),
        ("long", True),
        ({"type": "array", "items": "int"}, [1]),
        (RECORD, {"x": "y"}),
        (
            {
                "type": "record",
                "name": "R",
                "fields": [{"name": "d", "type": {"type": "int", "logicalType": "date"}, "default": 0}],
            },
            None,
        ),
    ],
)
def test_a_default_that_decoding_would_hand_on_wrongly_is_refused(avro: Any, default: Any) -> None:
    with pytest.raises(CatalogInvalid, match=r"(?i)default"):
        state_types(schema(avro, **({} if default is None else {"default": default})))


@pytest.mark.parametrize(
    ("avro", "default"),
    [
        (["null", RECORD], None),
        ("string", ""),
        ("double", 1),
        ("boolean", False),
        ({"type": "array", "items": "int"}, []),
    ],
)
def test_a_plain_default_is_fine(avro: Any, default: Any) -> None:
    assert list(state_types(schema(avro, default=default))) == ["a"]


def test_a_schema_without_a_state_record_is_refused() -> None:
    for fields in ([], [{"name": "state", "type": "string"}]):
        with pytest.raises(CatalogInvalid, match="field state"):
            state_types({"type": "record", "name": "Thing", "fields": fields})
