"""The reference itself: what was written is what is read, and nothing that arrives can end it."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.event import MARKER_KEY
from bus.headers import VERSION
from consumers.reading.rows import decode_rows
from tests.unit.consumers.reading.generated import (
    DATE,
    DECIMAL,
    MICROS,
    MILLIS,
    UUID_TEXT,
    Stream,
    evolutions,
    examples,
    nullable,
    reading_of,
    schema_of,
)

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def stream(*fields: dict[str, Any], wild: bool = False) -> Stream:
    return Stream(reading_of([schema_of([{"name": "id", "type": "string"}, *fields])]), wild=wild)


def with_state(made: Stream, **state: Any) -> Stream:
    """One record more, with this state."""
    values = Stream._event
    made._event = lambda *given: {**values(made, *given), "state": {"id": "k1", **state}}  # type: ignore[method-assign]
    made.add()
    return made


def meant(avro: Any, value: Any) -> Any:
    """A written value as a person reads it."""
    if isinstance(value, tuple):
        avro = next(
            b for b in avro if b == value[0] or (isinstance(b, dict) and value[0] in (b.get("name"), b["type"]))
        )
        return meant(avro, value[1])
    if value is None or isinstance(avro, str):
        return value
    if avro["type"] == "record":
        return {field["name"]: meant(field["type"], value[field["name"]]) for field in avro["fields"]}
    if avro["type"] == "array":
        return [meant(avro["items"], each) for each in value]
    if avro.get("logicalType") == "date":
        return dt.date.fromordinal(value + 719_163)
    unit = {"timestamp-micros": 1, "timestamp-millis": 1000}.get(avro.get("logicalType", ""))
    return value if unit is None else EPOCH + dt.timedelta(microseconds=value * unit)


@examples(80)
@given(evolutions(1), st.integers(0, 2**32))
def test_what_was_written_is_what_is_read(versions: list[dict[str, Any]], seed: int) -> None:
    reading = reading_of(versions)
    made = Stream(reading, seed)
    for number in range(5):
        made.add(key=f"k{number}")
    read = decode_rows(reading, enumerate(made.records))
    assert read.parked == []
    state = next(field["type"][1] for field in reading.reader["fields"] if field["name"] == "state")
    for row, written in zip(read.events.iter_rows(named=True), made.written, strict=True):
        for name, value in meant(state, written["state"]).items():
            nested = reading.table.columns[name].is_nested() and value is not None
            plain = json.loads(json.dumps(value, default=lambda each: each.isoformat())) if nested else value
            assert (json.loads(row[name]) if nested else row[name]) == plain


def test_the_same_state_has_the_same_json_whatever_order_its_fields_were_written_in() -> None:
    part = [{"name": "a", "type": "string"}, {"name": "b", "type": "string"}]
    versions = [
        schema_of(
            [
                {"name": "id", "type": "string"},
                {"name": "p", "type": {"type": "record", "name": "Part", "fields": order}},
            ]
        )
        for order in (part, part[::-1])
    ]
    reading = reading_of(versions)
    made = with_state(Stream(reading), p={"a": "1", "b": "2"})
    made.add(schema=2)
    assert decode_rows(reading, enumerate(made.records)).events.get_column("p").to_list() == ['{"b":"2","a":"1"}'] * 2


def test_a_type_used_twice_reads_whichever_field_spells_it_out() -> None:
    address = {"type": "record", "name": "Address", "fields": [{"name": "street", "type": "string"}]}
    state = [
        {"name": "id", "type": "string"},
        {"name": "home", "type": address},
        {"name": "work", "type": nullable(address)},
    ]
    reading = reading_of([schema_of(state), schema_of(state[::-1])])
    made = with_state(
        Stream(reading), home={"street": "Lê Lợi"}, work=("vn.lienthong.sample.Address", {"street": "Hai Bà Trưng"})
    )
    read = decode_rows(reading, enumerate(made.records))
    assert read.parked == []
    assert read.events.item(0, "work") == '{"street":"Hai Bà Trưng"}'


@pytest.mark.parametrize(
    ("avro", "value"),
    [
        (DATE, 2_932_897),
        (MICROS, 2**63 - 1),
        (MILLIS, -(2**63)),
        (UUID_TEXT, "no uuid"),
        (DECIMAL, b"\x7f" * 5),
        ({"type": "array", "items": "double"}, [float("nan")]),
        ({"type": "record", "name": "Part", "fields": [{"name": "x", "type": "float"}]}, {"x": float("inf")}),
    ],
)
def test_a_value_without_a_form_here_is_parked(avro: Any, value: Any) -> None:
    made = with_state(stream({"name": "x", "type": avro}), x=value)
    assert [each.reason for each in decode_rows(made.reading, enumerate(made.records)).parked] == ["body_invalid"]


def test_a_uuid_comes_in_one_spelling() -> None:
    nested = {"type": "array", "items": UUID_TEXT}
    spelt = "{0190ABCD-0000-7000-8000-00000000000A}"
    made = with_state(stream({"name": "x", "type": UUID_TEXT}, {"name": "y", "type": nested}), x=spelt, y=[spelt])
    events = decode_rows(made.reading, enumerate(made.records)).events
    assert events.item(0, "x") == "0190abcd-0000-7000-8000-00000000000a"
    assert json.loads(events.item(0, "y")) == [events.item(0, "x")]


def test_a_writer_whose_type_means_something_else_is_parked() -> None:
    """A date is a number to Avro: its resolution lets a reader ask for the number, or for another meaning of it."""
    for was, now in [(DATE, "long"), (DATE, MICROS), ("long", MICROS), (MICROS, "long"), (UUID_TEXT, "bytes")]:
        state = [[{"name": "id", "type": "string"}, {"name": "x", "type": each}] for each in (was, now)]
        reading = reading_of([schema_of(each) for each in state])
        made = with_state(Stream(reading), x="0" * 32 if was == UUID_TEXT else 0)
        assert [each.reason for each in decode_rows(reading, enumerate(made.records)).parked] == ["body_invalid"]


@pytest.mark.parametrize(
    "header",
    [
        (VERSION, b"9" * 30),
        (VERSION, b"-9223372036854775809"),
        (VERSION, None),
        ("ce_id", None),
        ("ce_id", b"\xff"),
        ("ce_time", b"2026-07-06T08:30:00"),
        ("ce_time", b"2026-07-06"),
        ("ce_time", b"0001-01-01T00:00:00+07:00"),
        ("ce_time", None),
    ],
)
def test_a_tombstone_with_an_unreadable_header_is_parked(header: tuple[str, Any]) -> None:
    made = stream()
    made.add("tombstone")
    records = [replace(made.records[0], headers=(*made.records[0].headers, header))]
    assert [each.reason for each in decode_rows(made.reading, enumerate(records)).parked] == ["body_invalid"]


def test_a_tombstone_tells_its_time_in_utc() -> None:
    made = stream()
    made.add("tombstone", version=2**63 - 1)
    (row,) = decode_rows(made.reading, enumerate(made.records)).events.iter_rows(named=True)
    assert row["recorded_at"] == dt.datetime(2026, 7, 6, 1, 30, tzinfo=dt.UTC)
    assert row["version"] == 2**63 - 1


def test_markers_are_counted_and_nothing_else() -> None:
    made = stream()
    made.add("marker")
    made.add("marker")
    assert all(record.key == MARKER_KEY for record in made.records)
    read = decode_rows(made.reading, enumerate(made.records))
    assert (read.events.height, list(read.parked), read.counts) == (0, [], {"marker": 2})
