"""Event values, record by record and by columns, and the schemas that strangers write them with."""

import json
import struct
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from random import Random
from zlib import crc32

import polars as pl

from bus import codec, wire
from bus.catalog import load_catalog
from bus.errors import BusError
from bus.event import Event, Op
from bus.names import RegisterName, SchemaId
from bus.records import COLUMNS, Record, Records
from bus.schema.avsc import load_register
from bus.varint import written
from consumers.reading.book import table_of
from consumers.reading.columns import ColumnDecoder
from consumers.reading.rows import Reading, decode_rows
from consumers.route import Source
from tests.consuming import NOW, event
from tests.fuzz.mutating import BINARY, JSON, Mutator
from tests.fuzz.target import Target
from tests.producing import BUSINESS, IDENTITY, person

ID = SchemaId(7)
STRANGER = SchemaId(8)
SIZE = struct.Struct(">I")


@cache
def reading(register: str = IDENTITY) -> Reading:
    catalog = load_catalog()
    found = catalog.register(register)
    schema = json.loads(load_register(register)[-1].text)
    sources = {topic: Source(writer, "topic-id") for topic, writer in catalog.topics(found).items()}
    parsed = codec.parse(schema)
    return Reading(found, table_of(found, schema), sources, parsed, {ID: parsed})


def firm(number: int) -> Event:
    """With records in lists, so that there are blocks, counts and nulls within."""
    state = {
        "enterprise_code": "0300588569",
        "name": "Công ty Mẫu",
        "legal_form": "llc_single_member",
        "head_office_address": None,
        "business_lines": [{"code": "4711", "name": "Bán lẻ", "main": True}] * 3,
        "legal_representatives": [],
        "charter_capital": 10**9,
        "first_registered_on": NOW.date(),
        "amendment_no": 1,
        "legal_status": "operating",
    }
    schema = load_register(BUSINESS)[-1].state
    known = {field.name: state.get(field.name, field.default) for field in schema.fields}
    source = next(iter(reading(BUSINESS).sources.values())).writer
    return event("0300588569", number, known, register=RegisterName(BUSINESS), source=source)


def events(register: str) -> list[Event]:
    if register == BUSINESS:
        return [firm(number) for number in range(1, 4)]
    key = person(1)["personal_id"]
    return [
        event(key, 1, person(1)),
        event(key, 2, person(1, old_id_9="024123456", card_issue_date=NOW.date(), native_place="đ" * 90)),
        event(key, 3),
        event(key, 4, op=Op.MERGE, replaced_by=person(2)["personal_id"]),
    ]


def values(register: str) -> list[bytes]:
    encoder = codec.Encoder(ID, reading(register).reader)
    return [encoder.encode(each) for each in events(register)]


def hostile(register: str) -> list[bytes]:
    sample = values(register)[0]
    lengths = [written(number) for number in (2**31, 2**40, 2**62, -(2**31), -1)]
    cases = [sample[:5], sample[:5] + b"\xff" * 100_000, sample[:5] + bytes(100_000), sample * 100]
    return cases + [sample[:at] + length + sample[at + 1 :] for at in (5, 42, 43, 60) for length in lengths]


@cache
def _key(register: str) -> bytes:
    return events(register)[0].key.encode()


def read_rows(register: str, data: bytes) -> bool:
    topic = next(iter(reading(register).sources))
    decoded = decode_rows(reading(register), [(0, Record(topic, 0, 0, 1, _key(register), data, ()))])
    assert decoded.events.height + len(decoded.parked) == 1
    return not decoded.parked


def rows(register: str) -> Target:
    return Target(
        lambda data: read_rows(register, data),
        values(register),
        cases=hostile(register),
        read_many=lambda inputs: read_rows_together(register, inputs),
    )


def read_rows_together(register: str, inputs: Sequence[bytes]) -> int:
    topic, key = next(iter(reading(register).sources)), _key(register)
    records = [Record(topic, 0, place, 1, key, data, ()) for place, data in enumerate(inputs)]
    decoded = decode_rows(reading(register), enumerate(records))
    assert decoded.events.height + len(decoded.parked) == len(inputs)
    return int(decoded.events.height)


def packed(parts: list[bytes]) -> bytes:
    return b"".join(SIZE.pack(len(part)) + part for part in parts)


def unpacked(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + SIZE.size <= len(data):
        (size,) = SIZE.unpack_from(data, at)
        found.append(data[at + SIZE.size : at + SIZE.size + size])
        at += SIZE.size + size
    return found


def parts_changed(random: Random, data: bytes) -> bytes:
    """Some messages of a batch."""
    found = unpacked(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(found)) if found else 0
        mutator: Mutator = random.choice(BINARY)
        found[at : at + 1] = [mutator(random, each) for each in found[at : at + 1]]
    return packed(found)


def as_records(register: str, parts: list[bytes]) -> Records:
    topic = next(iter(reading(register).sources))
    key = _key(register)
    told = [(topic, 0, place, 1, key, part, b"\x00") for place, part in enumerate(parts)]
    return Records(pl.DataFrame(told, schema=COLUMNS, orient="row"))


def read_columns(register: str, data: bytes, decoder: ColumnDecoder, how: Reading | None = None) -> bool:
    parts = unpacked(data)
    decoded = decoder.decode(how or reading(register), as_records(register, parts))
    assert decoded.events.height + len(decoded.parked) == len(parts)
    return not decoded.parked


def columns(register: str) -> Target:
    decoder = ColumnDecoder()
    sound = values(register)
    cases = [packed([*sound * 8, each, *sound * 8]) for each in hostile(register)]
    return Target(
        lambda data: read_columns(register, data, decoder),
        [packed(sound * count) for count in (1, 1, 5)],
        cases=cases,
        mutators=[parts_changed],
        short=600,
        read_many=lambda inputs: read_columns_together(register, inputs, decoder),
    )


def read_columns_together(register: str, inputs: Sequence[bytes], decoder: ColumnDecoder) -> int:
    """The messages of all as one batch; an input is taken where none of its own is parked."""
    sizes = [len(unpacked(data)) for data in inputs]
    parts = [part for data in inputs for part in unpacked(data)]
    decoded = decoder.decode(reading(register), as_records(register, parts))
    assert decoded.events.height + len(decoded.parked) == len(parts)
    parked = {each.offset for each in decoded.parked}
    starts = accumulate(sizes, initial=0)
    return sum(parked.isdisjoint(range(start, start + size)) for start, size in zip(starts, sizes, strict=False))


def deep(kind: str, levels: int) -> bytes:
    """A schema with types inside types; with ``doubling``, each named twice in the next."""
    inner: object = "string"
    for level in range(levels):
        fields = [{"name": "a", "type": inner}]
        if kind == "doubling":
            fields.append({"name": "b", "type": f"R{level - 1}" if level else "string"})
        made = {"type": "record", "name": f"R{level}", "fields": fields}
        inner = {"record": made, "doubling": made, "array": {"type": "array", "items": inner}}[kind]
    if kind == "array":
        inner = {"type": "record", "name": "R", "fields": [{"name": "a", "type": inner}]}
    return json.dumps(inner).encode()


def with_state(state: bytes) -> bytes:
    """A register's schema whose state has a field of such a type."""
    schema = json.loads(load_register(IDENTITY)[-1].text)
    schema["fields"][-1]["type"][1]["fields"].append({"name": "more", "type": json.loads(state)})
    return json.dumps(schema).encode()


def schema_samples() -> list[bytes]:
    return [load_register(name)[-1].text.encode() for name in (IDENTITY, BUSINESS, "resident.residence")]


def schema_cases() -> list[bytes]:
    found = [
        deep(kind, levels) for kind, levels in (("record", 300), ("array", 300), ("doubling", 18), ("doubling", 60))
    ]
    found += [with_state(each) for each in found if len(each) < 10_000] + [with_state(deep("doubling", 60))]
    found += [
        b"[" * 100_000,
        b'{"type":' * 20_000,
        b"9" * 5_000,
        b"\xff",
        b"",
        b"null",
        b'"string"',
        b"[]",
        b'{"a":' * 500,
    ]
    itself = {"type": "record", "name": "R", "fields": [{"name": "a", "type": ["null", "R"]}]}
    empty = {"type": "record", "name": "E", "fields": []}
    holes = {"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": empty}}]}
    fixed = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": {"type": "fixed", "name": "F", "size": 2**40}}],
    }
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 2**40, "scale": 2**39}
    wide = {"type": "record", "name": "R", "fields": [{"name": "a", "type": decimal}]}
    return [*found, *(json.dumps(each).encode() for each in (itself, empty, holes, fixed, wide))]


def read_stranger(data: bytes, bodies: list[bytes]) -> bool:
    """A writer's schema from the registry, and messages that claim to be written with it."""
    try:
        written = codec.parse(json.loads(data))
    except (ValueError, RecursionError, TypeError):  # what is no JSON object, the registry's readers refuse before
        return False
    ours = reading()
    how = Reading(ours.register, ours.table, ours.sources, ours.reader, {STRANGER: written})
    parts = [wire.prefix(STRANGER) + body for body in bodies]
    decoded = ColumnDecoder().decode(how, as_records(IDENTITY, parts))
    assert decoded.events.height + len(decoded.parked) == len(parts)
    for body in bodies:
        try:
            codec.decode(RegisterName(IDENTITY), body, written)
        except BusError:
            continue
    return True


def random_of(data: bytes) -> Random:
    """Draws that hang on the input alone."""
    return Random(crc32(data))  # noqa: S311 - test data


def strangers() -> Target:
    bodies = [each[5:] for each in values(IDENTITY)] + [bytes(60), b"\xff" * 9 + b"\x01" * 40, b"\x02" * 200]
    return Target(
        lambda data: read_stranger(data, random_of(data).sample(bodies, 3)),
        schema_samples(),
        cases=schema_cases(),
        mutators=JSON,
        short=400,
    )
