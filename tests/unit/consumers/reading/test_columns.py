"""The columnar way gives the row way's answer: same frame, same parked records for the same reasons, same counts."""

import json
import resource
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.exceptions import PanicException

from bus import codec
from bus.catalog import load_catalog
from bus.names import AgencyCode, SchemaId, TopicName
from bus.schema.avsc import load_all
from bus.varint import written
from consumers.reading import columns
from consumers.reading.block import BlockWriter
from consumers.reading.book import table_of
from consumers.reading.columns import ColumnDecoder
from consumers.reading.resolve import ODD
from consumers.reading.rows import Reading, decode_rows
from consumers.route import Source
from tests.unit.consumers.reading import generated
from tests.unit.consumers.reading.generated import (
    COLOUR,
    DAMAGES,
    DATE,
    MICROS,
    MILLIS,
    OP_AT,
    UUID_TEXT,
    Stream,
    as_columns,
    assert_same,
    examples,
    nullable,
    reading_of,
    schema_of,
    streams,
)

TEXT = [{"name": "id", "type": "string"}, {"name": "text", "type": ["null", "string"], "default": None}]


def stream(*fields: dict[str, Any], seed: int = 1) -> Stream:
    """Records of a register with one version and these fields in its state."""
    return Stream(reading_of([schema_of([{"name": "id", "type": "string"}, *fields])]), seed)


@pytest.fixture
def row_way(monkeypatch) -> list[int]:
    """How many records each call of the row way got."""
    calls: list[int] = []

    def counted(reading: Reading, records: Any) -> Any:
        calls.append(len(given := list(records)))
        return decode_rows(reading, given)

    monkeypatch.setattr(columns, "decode_rows", counted)
    return calls


@examples(150)
@given(streams(wild=False))
def test_clean_streams_of_any_register_read_the_same(stream: Stream) -> None:
    assert_same(stream.reading, stream.records)


@examples(150)
@given(streams())
def test_extreme_values_read_the_same(stream: Stream) -> None:
    assert_same(stream.reading, stream.records)


@examples(200)
@given(streams(DAMAGES))
def test_damaged_streams_park_the_same_records(stream: Stream) -> None:
    assert_same(stream.reading, stream.records)


@settings(examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(streams(DAMAGES, largest=60), st.sampled_from([1, 2, 3, 7]), st.sampled_from([2, 3, 16]))
def test_strange_blocks_split_anyhow_read_the_same(monkeypatch, stream: Stream, row_slice: int, fan_out: int) -> None:
    monkeypatch.setattr(columns, "ROW_SLICE", row_slice)
    monkeypatch.setattr(columns, "FAN_OUT", fan_out)
    assert_same(stream.reading, stream.records)


@settings(examples(4), suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 2999), st.sampled_from(DAMAGES)), max_size=6))
def test_a_large_batch_reads_the_same_at_the_real_slices(seed: int, wrong: list[tuple[int, str]]) -> None:
    made = stream(*TEXT[1:], {"name": "born", "type": nullable(DATE)}, seed=seed)
    damages = dict(wrong)
    for number in range(3000):
        made.add(version=number, key=f"k{number % 700}", damage=damages.get(number, ""))
    assert_same(made.reading, made.records)


def test_every_shipped_register_is_read_as_columns() -> None:
    catalog = load_catalog()
    for name, versions in load_all().items():
        schemas = [json.loads(version.text) for version in versions]
        for schema in schemas:
            reading = Reading(
                catalog.register(name),
                table_of(catalog.register(name), schemas[-1]),
                {TopicName("t"): Source(AgencyCode("H29.5"), "1")},
                codec.parse(schemas[-1]),
                {SchemaId(1): codec.parse(schema)},
            )
            assert columns._make_plan(SchemaId(1), reading) is not None, name


def test_all_that_columns_can_read_never_goes_the_row_way(monkeypatch, row_way) -> None:
    monkeypatch.setattr(generated, "TEXTS", [text for text in generated.TEXTS if text != ODD])
    simple = ["string", "int", "long", "boolean", DATE, MICROS, MILLIS, UUID_TEXT, COLOUR]
    part = [{"name": f"p{n}", "type": each} for n, each in enumerate([*simple, *map(nullable, simple)])]
    record = {"type": "record", "name": "Part", "fields": part}
    every = [*simple, "float", "double", "bytes", record, {"type": "array", "items": record}]
    every += [
        {"type": "array", "items": each} for each in [*simple, nullable("string"), {"type": "array", "items": "int"}]
    ]
    fields = [{"name": f"f{n}", "type": each} for n, each in enumerate([*every, *map(nullable, every)])]
    made = stream(*fields)
    for number in range(40):
        made.add(kind=["UPSERT", "UPSERT", "DELETE", "MERGE"][number % 4], key=f"k{number}")
    read = ColumnDecoder().decode(made.reading, as_columns(made.records))
    assert row_way == []
    assert (read.events.height, list(read.parked)) == (40, [])
    assert_same(made.reading, made.records)


def test_two_corrupt_messages_in_twenty_thousand_cost_about_twice_a_clean_batch(monkeypatch, row_way) -> None:
    made = stream(*TEXT[1:])
    made.add()
    record = made.records[0]
    records = [replace(record, offset=number) for number in range(20_000)]
    for at in (777, 15_000):
        records[at] = replace(record, offset=at, value=record.value[:-3])
    blocks: list[int] = []
    block = BlockWriter.block
    monkeypatch.setattr(
        BlockWriter, "block", lambda self, values, mark: blocks.append(len(values)) or block(self, values, mark)
    )
    read = ColumnDecoder().decode(made.reading, as_columns(records))
    assert [each.offset for each in read.parked] == [777, 15_000]
    assert read.events.height == 19_998
    assert sum(blocks) < 3 * 20_000
    assert sum(row_way) <= 2 * columns.ROW_SLICE


def test_a_message_cut_where_its_text_looks_like_the_next_one_is_found_out() -> None:
    made = stream(*TEXT[1:])
    made.add(key="k1")
    made.add(key="k2")
    values = dict(made.written[0], state={"id": "k1", "text": ("string", "before \x00\x00\x00\x00\x01 behind")})
    first, second = made.records
    whole = first.value[:5] + codec.body(made.reading.writers[SchemaId(1)], values)
    cut = whole.index(first.value[:5], 5)
    # Joined without anything between them, the two are again the bytes of two sound messages with the right keys.
    records = [replace(first, value=whole[:cut]), replace(second, value=whole[cut:] + second.value)]
    assert ColumnDecoder().decode(made.reading, as_columns(records)).events.is_empty()
    assert_same(made.reading, records)


@pytest.mark.parametrize("rest", [b"", b"\x02", b"\x80" * 12])
@pytest.mark.parametrize("claim", [2**31, 2**40, 2**62, -1, -(2**63)])
@pytest.mark.parametrize("at", ["text", "list", "key"])
def test_lengths_that_claim_gigabytes_take_no_memory(claim: int, at: str, rest: bytes) -> None:
    made = stream({"name": "list", "type": {"type": "array", "items": ["null", "string"]}}, *TEXT[1:])
    for number in range(300):
        made.add(key=f"k{number:03}")
    value = made.records[100].value
    body = value[: OP_AT + 1] if at == "key" else value[: value.index(b"k100", OP_AT + 6) + 4]
    body += b"\x00\x02" if at == "text" else b""
    made.records[100] = replace(made.records[100], value=body + written(claim) + rest)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_same(made.reading, made.records)
    assert [each.offset for each in ColumnDecoder().decode(made.reading, as_columns(made.records)).parked] == [100]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def panicking(_: Any) -> pl.DataFrame:
    raise PanicException("index out of bounds")


def failing(_: Any) -> pl.DataFrame:
    raise OSError("failed to fill whole buffer")


read_avro = pl.read_avro


@pytest.mark.parametrize(
    "wrong",
    [
        panicking,
        failing,
        lambda file: read_avro(file).head(1),
        lambda file: read_avro(file).reverse(),
        lambda file: read_avro(file).drop("key"),
        lambda file: read_avro(file).with_columns(pl.lit(7).alias("state")),
        lambda file: read_avro(file).with_columns(pl.lit(None).alias("version"), pl.lit(None).alias("key")),
        lambda _: pl.DataFrame(),
        lambda _: SimpleNamespace(height=3),
    ],
)
def test_a_native_reader_gone_mad_is_not_believed(monkeypatch, wrong: Any) -> None:
    made = stream(*TEXT[1:])
    for number in range(3):
        made.add(key=f"k{number}")
    decoder = ColumnDecoder()
    decoder.decode(made.reading, as_columns(made.records))
    monkeypatch.setattr(pl, "read_avro", wrong)
    read = decoder.decode(made.reading, as_columns(made.records))
    assert read.events.equals(decode_rows(made.reading, enumerate(made.records)).events)
    assert read.events.height == 3


def test_a_schema_that_the_native_reader_refuses_goes_the_row_way_from_the_start(monkeypatch, row_way) -> None:
    made = stream(*TEXT[1:])
    made.add()
    decoder = ColumnDecoder()
    monkeypatch.setattr(pl, "read_avro", panicking)
    decoder.decode(made.reading, as_columns(made.records))
    monkeypatch.setattr(pl, "read_avro", read_avro)
    decoder.decode(made.reading, as_columns(made.records))
    assert row_way == [1, 1]


def test_records_that_go_the_row_way_for_different_reasons_stay_in_order() -> None:
    map_field = {"name": "m", "type": {"type": "map", "values": "string"}}
    state = [{"name": "id", "type": "string"}]
    reading = reading_of([schema_of(state)], extra=[schema_of([*state, map_field])])
    made = Stream(reading)
    for version, (kind, schema) in enumerate([("UPSERT", 2), ("tombstone", 1), ("UPSERT", 2), ("tombstone", 1)]):
        made.add(kind, version=version, schema=schema)
    read = ColumnDecoder().decode(reading, as_columns(made.records))
    assert read.events.get_column("record").to_list() == [0, 1, 2, 3]
    assert_same(reading, made.records)


def test_a_newer_reader_replaces_what_was_worked_out() -> None:
    versions = [schema_of(TEXT[:1]), schema_of(TEXT)]
    old, new = reading_of(versions, 0), reading_of(versions, 1)
    made = Stream(new)
    made.add(schema=2)
    decoder = ColumnDecoder()
    assert "text" not in decoder.decode(old, as_columns(made.records)).events.columns
    assert "text" in decoder.decode(new, as_columns(made.records)).events.columns


def test_while_a_field_is_renamed_the_new_name_goes_before_the_old() -> None:
    """Version 1 has the old name, version 2 both, in either order, version 3 the new one with an alias."""
    old = {"name": "old", "type": ["null", "string"], "default": None}
    after = [TEXT[0], {**TEXT[1], "aliases": ["older", "old"]}]
    for state in ([TEXT[0], old], [*TEXT, old], [TEXT[0], old, TEXT[1]]):
        reading = reading_of([schema_of(state), schema_of(after)])
        made = Stream(reading)
        for number in range(8):
            made.add(key=f"k{number}")
        expected = [written["state"].get("text", written["state"]["old"]) for written in made.written]
        read = ColumnDecoder().decode(reading, as_columns(made.records))
        assert read.events.get_column("text").to_list() == [value and value[1] for value in expected]
        assert_same(reading, made.records)


def test_the_key_may_be_missing_from_the_state_or_be_no_text() -> None:
    for state in ([{"name": "other", "type": "string"}], [{"name": "id", "type": ["null", "long"], "default": None}]):
        reading = reading_of([schema_of(state)])
        made = Stream(reading)
        made.add("DELETE")
        made.records += [replace(made.records[0], offset=1, value=made.records[0].value[:-1] + b"\x02\x02\x02")]
        read = ColumnDecoder().decode(reading, as_columns(made.records))
        assert [each.offset for each in read.parked] == [1]
        assert_same(reading, made.records)


def test_an_event_of_another_register_is_parked_even_if_its_fields_would_do() -> None:
    reading = reading_of([schema_of(TEXT)], extra=[schema_of(TEXT, "Other")])
    made = Stream(reading)
    for schema in (2, 1):
        made.add(schema=schema)
    assert [each.offset for each in ColumnDecoder().decode(reading, as_columns(made.records)).parked] == [0]
    assert_same(reading, made.records)


def test_a_new_field_has_its_default_only_where_there_is_a_state() -> None:
    new = [
        {"name": "n", "type": "long", "default": 5},
        {"name": "l", "type": {"type": "array", "items": "int"}, "default": []},
    ]
    reading = reading_of([schema_of(TEXT), schema_of([*TEXT, *new])])
    made = Stream(reading)
    made.add()
    made.add("DELETE", key="k2")
    events = ColumnDecoder().decode(reading, as_columns(made.records)).events
    assert events.select("n", "l").rows() == [(5, "[]"), (None, None)]
    assert_same(reading, made.records)


def test_an_event_without_key_is_parked_even_if_all_agree_on_it() -> None:
    made = stream(*TEXT[1:])
    made.add(key="")
    assert len(ColumnDecoder().decode(made.reading, as_columns(made.records)).parked) == 1
    assert_same(made.reading, made.records)


@pytest.mark.parametrize("avro", ["string", UUID_TEXT])
def test_an_event_id_is_a_uuid_whatever_its_type(avro: Any) -> None:
    schema = schema_of(TEXT)
    schema["fields"][0]["type"] = avro
    made = Stream(reading_of([schema]))
    for number in range(12):
        made.add(key=f"k{number}", damage="spelling")
    assert 0 < len(ColumnDecoder().decode(made.reading, as_columns(made.records)).parked) < 12
    assert_same(made.reading, made.records)


def test_an_operation_that_only_a_schema_knows_is_parked() -> None:
    schema = schema_of(TEXT)
    schema["fields"][1]["type"]["symbols"].append("SPLIT")
    made = Stream(reading_of([schema]))
    made.add("SPLIT")
    assert len(ColumnDecoder().decode(made.reading, as_columns(made.records)).parked) == 1
    assert_same(made.reading, made.records)


def test_a_branch_number_out_of_range_is_the_one_corruption_that_columns_do_not_see() -> None:
    made = stream(*TEXT[1:])
    made.add()
    record = made.records[0]
    body = record.value[: record.value.rindex(b"k1") + 2]
    sound, wrong = (replace(record, value=body + branch + b"\x02a") for branch in (written(1), written(2)))
    assert [each.reason for each in decode_rows(made.reading, [(0, wrong)]).parked] == ["body_invalid"]
    decoder = ColumnDecoder()
    assert decoder.decode(made.reading, as_columns([wrong])).events.equals(
        decoder.decode(made.reading, as_columns([sound])).events
    )


def test_a_boolean_byte_that_is_neither_reads_as_rows_read_it() -> None:
    made = stream({"name": "flag", "type": "boolean"}, {"name": "flags", "type": {"type": "array", "items": "boolean"}})
    made.add()
    body = made.records[0].value[: made.records[0].value.rindex(b"k1") + 2]
    made.records = [replace(made.records[0], value=body + tail) for tail in (b"\x02\x00", b"\x01\x02\x07\x00")]
    assert_same(made.reading, made.records)
