"""Rows that other languages and triggers write into an outbox, and messages of PostgreSQL's log."""

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from random import Random
from unittest import mock

from bus.bulk import BulkEncoder
from bus.catalog import load_catalog
from bus.codec import Encoder, parse
from bus.names import AgencyCode, SchemaId
from bus.schema.avsc import load_register
from producers.capture.follow.changes import Assembler
from producers.capture.follow.pgoutput import read_message
from producers.capture.row import packed
from producers.capture.source import Source
from producers.capture.translation import Translator
from producers.mapping import Mapping
from producers.outbox.relay import bulk
from producers.outbox.relay.encoding import RowEncoder
from producers.outbox.relay.row import Row
from producers.release import Release
from tests.fuzz.mutating import JSON
from tests.fuzz.target import Target
from tests.fuzz.targets.avro import firm
from tests.producing import BUSINESS, IDENTITY, POLICE, person

SEPARATOR = b"\x1e"
NOW = datetime(2026, 7, 6, 9, 30, tzinfo=UTC)
EVENT = b"0190a0a0-0000-7000-8000-000000000001"
KEY = person(1)["personal_id"].encode()
FIELDS = ("personal_id", "full_name", "birth_date", "birth_date_precision", "sex", "status")


@cache
def encoder(register: str, agency: str) -> RowEncoder:
    schema = load_register(register)[-1]
    parsed, number = parse(json.loads(schema.text)), SchemaId(7)
    release = Release(schema, number, Encoder(number, parsed), BulkEncoder(number, json.loads(schema.text)))
    found = load_catalog().register(register)
    mapping = (
        Mapping.of({"register": register, "fields": {name: name for name in FIELDS}}, schema)
        if register == IDENTITY
        else None
    )
    translator = Translator(found, AgencyCode(agency), release, lambda _number: mapping) if mapping else None
    return RowEncoder(found, AgencyCode(agency), release, translator)


def row(data: bytes, number: int = 1) -> Row:
    """Key, event id, type, format and payload, as far as a database's text columns can hold them."""
    parts = [*data.split(SEPARATOR, 4), b"", b"", b"", b"", b""][:5]
    key, event_id, kind, form = (part.replace(b"\x00", b"").decode(errors="replace") for part in parts[:4])
    return Row(number, key.encode(), event_id.encode(), kind, form, parts[4] or None, 5, None, None, NOW)


def told(*parts: bytes) -> bytes:
    return SEPARATOR.join(parts)


def as_json(state: object) -> bytes:
    return json.dumps(state, default=str).encode()


DEEP = [
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"full_name":' + b"9" * 5_000 + b"}",
    b"NaN",
    b'{"full_name":"\\ud800"}',
    b"\xff",
    b"",
]
ODD = [
    *(
        {"full_name": 10**400},
        {"card_issue_date": 1e308},
        {"card_issue_date": "0001-01-01T00:00:00+14:00"},
        {"birth_date": []},
    ),
    *({"full_name": {"a": 1}}, {"": None}, {"card_issue_date": "9" * 5_000}, {"full_name": "x" * 1_000_000}),
]


def outbox() -> Target:
    samples = [told(KEY, EVENT, b"UPSERT", b"json", as_json(person(1))), told(KEY, EVENT, b"DELETE", b"json", b"")]
    samples += [
        told(KEY, EVENT, b"MERGE", b"json", as_json({"replaced_by": person(2)["personal_id"]})),
        told(KEY, EVENT, b"UPSERT", b"bytes", b"\x00\x00\x00\x00\x07x"),
    ]
    states = [*DEEP, *(as_json(person(1, **each)) for each in ODD)]
    cases = [told(KEY, EVENT, kind, b"json", each) for each in states for kind in (b"UPSERT", b"MERGE", b"TOMBSTONE")]
    cases += [told(b"\xff", b"{x}", b"UPSERT", b"row", b"{}"), b"", told(b"", EVENT, b"DELETE", b"json", b"")]

    def read(data: bytes) -> bool:
        batch = encoder(IDENTITY, POLICE).encode([row(data)])
        assert len(batch.done) + len(batch.parked) == 1
        return not batch.parked

    return Target(read, samples, cases=cases, mutators=[*JSON, in_payload, in_payload, in_payload])


def outbox_bulk() -> Target:
    """The same row among six sound ones, so that columns are tried first."""
    sound = [
        row(told(person(n)["personal_id"].encode(), EVENT, b"UPSERT", b"json", as_json(person(n))), n)
        for n in range(2, 8)
    ]
    one = outbox()

    def read(data: bytes) -> bool:
        with mock.patch("producers.outbox.relay.encoding.BULK_ROWS", 4):
            batch = encoder(IDENTITY, POLICE).encode([*sound[:3], row(data), *sound[3:]])
        assert len(batch.done) + len(batch.parked) == 7
        return not batch.parked

    def read_many(inputs: Sequence[bytes]) -> int:
        """What columns take by itself at once with all such, each other one beside few: they send all the row way."""
        rows = [row(data, number) for number, data in enumerate(inputs, 100)]
        plain = [each for each in rows if as_columns(each)]
        taken = sum(read(data) for number, data in enumerate(inputs, 100) if number % 50 == 0)
        done = encoder(IDENTITY, POLICE).encode([*sound * 30, *plain])
        assert len(done.done) + len(done.parked) == len(plain) + len(sound) * 30
        return taken + len(done.done) - len(sound) * 30

    return Target(read, one.samples, cases=one.cases, mutators=one.mutators, short=300, read_many=read_many)


def as_columns(told: Row) -> bool:
    """Whether the row alone does not send those beside it the row way."""
    try:
        bulk._frame(encoder(IDENTITY, POLICE).release.schema, [json.loads(told.payload or b"")])
    except bulk._STRANGE:
        return False
    return told.format == "json" and told.type == "UPSERT"


def in_payload(random: Random, data: bytes) -> bytes:
    """Only what the row says, so that its columns stand."""
    *head, payload = data.split(SEPARATOR, 4)
    return SEPARATOR.join([*head, random.choice(JSON)(random, payload)])


def outbox_nested() -> Target:
    agency = next(iter(load_catalog().topics(load_catalog().register(BUSINESS)).values()))
    state = as_json(firm(1).state)
    cases = [told(b"0300588569", EVENT, b"UPSERT", b"json", each) for each in DEEP]

    def read(data: bytes) -> bool:
        batch = encoder(BUSINESS, agency).encode([row(data)])
        assert len(batch.done) + len(batch.parked) == 1
        return not batch.parked

    return Target(
        read,
        [told(b"0300588569", EVENT, b"UPSERT", b"json", state)],
        cases=cases,
        mutators=[*JSON, in_payload, in_payload],
    )


def captured() -> Target:
    """Rows of triggers."""
    cells = {name: person(1)[name] for name in FIELDS}
    samples = [told(KEY, EVENT, kind, b"row", packed(1, json.dumps(cells))) for kind in (b"UPSERT", b"DELETE")]
    odd = [
        {"m": "9" * 5_000, "row": {}},
        {"m": 1, "row": {name: [[]] for name in FIELDS}},
        {"m": 1, "row": {}},
        {"m": 1e308, "row": cells},
    ]
    states = [
        *DEEP,
        *map(as_json, odd),
        b'{"m":1,"row":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"m":1,"row":{"a":' + b"[" * 900 + b"]" * 900 + b"}}",
    ]
    cases = [told(KEY, EVENT, kind, b"row", each) for each in states for kind in (b"UPSERT", b"DELETE", b"x")]

    def read(data: bytes) -> bool:
        batch = encoder(IDENTITY, POLICE).encode([row(data)])
        assert len(batch.done) + len(batch.parked) == 1
        return not batch.parked

    def read_many(inputs: Sequence[bytes]) -> int:
        batch = encoder(IDENTITY, POLICE).encode([row(data, number) for number, data in enumerate(inputs)])
        assert len(batch.done) + len(batch.parked) == len(inputs)
        return len(batch.done)

    mutators = [*JSON, in_payload, in_payload, in_payload]
    return Target(read, samples, cases=cases, mutators=mutators, short=500, read_many=read_many)


SIZE = struct.Struct(">I")
TEXT = [b"1", b"Mau", None]


def cells(values: list[bytes | None]) -> bytes:
    told = b"".join(b"n" if value is None else b"t" + SIZE.pack(len(value)) + value for value in values)
    return struct.pack(">h", len(values)) + told


def pgoutput() -> Target:
    """A stream of messages, each with its length before it."""
    columns = b"".join(
        struct.pack(">b", 1) + name + b"\x00" + struct.pack(">ii", 25, -1) for name in (b"id", b"name", b"note")
    )
    relation = b"R" + SIZE.pack(9) + b"public\x00people\x00f" + struct.pack(">h", 3) + columns
    begin, commit = b"B" + struct.pack(">QqI", 100, 1, 7), b"C" + struct.pack(">bQQq", 0, 100, 101, 1)
    insert = b"I" + SIZE.pack(9) + b"N" + cells(TEXT)
    update = b"U" + SIZE.pack(9) + b"O" + cells(TEXT) + b"N" + cells([b"2", b"Mau", b"x" * 50])
    delete = b"D" + SIZE.pack(9) + b"O" + cells(TEXT)
    other = [
        b"Y" + SIZE.pack(1) + b"a\x00b\x00",
        b"O" + struct.pack(">Q", 1) + b"o\x00",
        b"T" + struct.pack(">ibI", 1, 0, 9),
    ]
    messages = [begin, relation, insert, update, delete, commit]
    source = Source(
        "public",
        "people",
        {"id": "text", "name": "text", "note": "text"},
        ("id",),
        ("id", "name", "note"),
        ("id",),
        " ",
        "f",
    )
    whole = [
        b"".join(SIZE.pack(len(each)) + each for each in some)
        for some in (messages, [begin, relation, *other], [relation, insert])
    ]
    many = b"R" + SIZE.pack(9) + b"a\x00b\x00f" + struct.pack(">h", 32_767) + b"\x00" * 900_000
    hostile = [
        many,
        b"I" + SIZE.pack(9) + b"N" + struct.pack(">h", 1) + b"t" + SIZE.pack(2**31 - 1),
        b"U" + SIZE.pack(9) + b"O" + struct.pack(">h", -1),
        b"",
        b"T" + SIZE.pack(2**31),
        b"B" + b"\x7f" * 20,
        insert,
    ]

    def read(data: bytes) -> bool:
        assembler, at = Assembler(source), 0
        while at + SIZE.size <= len(data):
            (size,) = SIZE.unpack_from(data, at)
            for event in assembler.feed(read_message(data[at + SIZE.size : at + SIZE.size + size])):
                assert event.event_id("slot").version == 7
                assembler.key(event.columns)
            at += SIZE.size + size
        return True

    return Target(
        read,
        whole,
        cases=[SIZE.pack(len(each)) + each for each in hostile]
        + [whole[0] + SIZE.pack(len(each)) + each for each in hostile],
    )
