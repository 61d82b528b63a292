"""Registers, their evolutions and streams of events and of rubbish, for holding the columnar way to the row way.

Hypothesis draws what is made; the values come from a ``random.Random`` with a drawn seed, so that an example is cheap.
"""

import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import polars as pl
from hypothesis import Phase, currently_in_test_context, note, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bus import codec, wire
from bus.catalog import Register
from bus.event import MARKER_KEY
from bus.names import AgencyCode, RegisterName, SchemaId, TopicName
from bus.records import COLUMNS, Record, Records
from bus.schema.envelope import ENVELOPE
from bus.varint import written
from consumers.reading.book import table_of
from consumers.reading.columns import ColumnDecoder
from consumers.reading.decoded import Decoded
from consumers.reading.rows import Reading, decode_rows
from consumers.route import Source

LONG = os.environ.get("LIENTHONG_HYPOTHESIS") == "long"
REGISTER = Register(
    name=RegisterName("sample.thing"),
    en="Things",
    vi="Đồ vật",
    writers=(AgencyCode("H29.5"), AgencyCode("H29.6")),
    topic_per_writer=True,
    key_field="id",
    subject_key="id",
    sensitivity="none",
    legal_basis="none",
    prefix="city",
)
SOURCES = {
    TopicName("city.sample.thing.H29.5"): Source(AgencyCode("H29.5"), "topic-5"),
    TopicName("city.sample.thing.H29.6"): Source(AgencyCode("H29.6"), "topic-6"),
}
FOREIGN = SchemaId(99)
NOW = datetime(2026, 7, 6, 1, 30, tzinfo=UTC)
NOW_US = 1_783_301_400_000_000

Avro = Any


def examples(number: int) -> Any:
    """Settings for a property. Where LIENTHONG_HYPOTHESIS is ``long``: more examples, and the failing one made small."""
    phases = set(Phase) if LONG else set(Phase) - {Phase.shrink, Phase.explain}
    return settings(max_examples=number * (20 if LONG else 1), phases=phases)


# --- schemas -----------------------------------------------------------------------------------------------------------

COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN", "BLUE"]}
DATE = {"type": "int", "logicalType": "date"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
UUID_TEXT = {"type": "string", "logicalType": "uuid"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
SIMPLE = ["string", "int", "long", "boolean", DATE, MICROS, MILLIS, UUID_TEXT, COLOUR]
SCALARS = [*SIMPLE, *SIMPLE, "float", "double", "bytes", DECIMAL]
INNER = [*SIMPLE, *SIMPLE, "double"]
DEFAULTS = {"string": ["", "đ", "x"], "int": [0, -7], "long": [2**60], "boolean": [True, False], "double": [0, 1.5]}
PROMOTED = {
    "int": ["long", "float", "double"],
    "long": ["float", "double"],
    "float": ["double"],
    "string": ["bytes"],
    "bytes": ["string"],
}
ONLY_WRITTEN = [
    {"type": "map", "values": "string"},
    ["null", "string", "long"],
    {"type": "int", "logicalType": "time-millis"},
    {"type": "fixed", "name": "Four", "size": 4},
]
"""Types that no reader has; a writer may have written them."""
ADDRESS = {
    "type": "record",
    "name": "Address",
    "fields": [
        {"name": "street", "type": "string"},
        {"name": "since", "type": ["null", DATE], "default": None},
        {"name": "main", "type": "boolean"},
    ],
}


def nullable(avro: Avro, *, last: bool = False) -> Avro:
    return [avro, "null"] if last else ["null", avro]


@st.composite
def fields(draw: st.DrawFn, name: str, scalars: Sequence[Avro] = tuple(SCALARS), depth: int = 0) -> dict[str, Any]:
    """One field: a scalar, or up to two levels deep a record or an array."""
    shape = draw(st.sampled_from(["scalar"] * 4 + ["record", "array", "address", "addresses"] * (depth < 2)))
    avro: Avro
    if shape == "scalar":
        avro = draw(st.sampled_from(scalars))
    elif shape == "address":
        avro = ADDRESS
    elif shape == "addresses":
        avro = {"type": "array", "items": ADDRESS}
    elif shape == "array":
        inner = draw(fields("item", INNER, depth + 1))
        avro = {"type": "array", "items": inner["type"]}
    else:
        inside = [draw(fields(f"{name}_{n}", INNER, depth + 1)) for n in range(draw(st.integers(1, 3)))]
        avro = {"type": "record", "name": f"Part_{name}", "fields": inside}
    made = {"name": name, "type": copy.deepcopy(avro)}
    may = draw(st.sampled_from(["never", "null first", "null last", "default"]))
    if may == "null first":
        return {**made, "type": nullable(avro), "default": None}
    if may == "null last":
        return {**made, "type": nullable(avro, last=True)}
    if may == "default" and isinstance(avro, str) and avro in DEFAULTS:
        made["default"] = draw(st.sampled_from(DEFAULTS[avro]))
    elif may == "default" and isinstance(avro, dict) and avro["type"] == "array":
        made["default"] = []
    return made


@st.composite
def evolutions(draw: st.DrawFn, largest: int = 4) -> list[dict[str, Any]]:
    """Versions of one register's schema, ascending, each made from the one before."""
    current = [{"name": "id", "type": "string"}]
    current += [draw(fields(f"f{n}")) for n in range(draw(st.integers(0, 6)))]
    versions = [schema_of(current)]
    for number in range(draw(st.integers(0, largest - 1))):
        current = draw(changed(current, number))
        versions.append(schema_of(current))
    return versions


@st.composite
def changed(draw: st.DrawFn, before: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    after = copy.deepcopy(before)
    change = draw(st.sampled_from(["add", "drop", "rename", "promote", "reorder", "null", "inner"]))
    at = draw(st.integers(0, len(after) - 1))
    field = after[at]
    if change == "add":
        added = draw(fields(f"g{number}"))
        if "default" not in added:
            avro = added["type"]
            added = {**added, "type": avro if isinstance(avro, list) else nullable(avro), "default": None}
            added["type"] = sorted(added["type"], key=lambda branch: branch != "null")
        after.insert(at, added)
    elif change == "drop" and field["name"] != "id":
        after.pop(at)
    elif change == "rename" and field["name"] != "id":
        new = {**field, "aliases": [*field.get("aliases", ()), field["name"], "nothing"], "name": f"h{number}"}
        after[at : at + 1] = draw(st.permutations([field, new])) if draw(st.booleans()) else [new]
    elif change == "promote" and isinstance(field["type"], str) and field["type"] in PROMOTED and field["name"] != "id":
        field["type"] = draw(st.sampled_from(PROMOTED[field["type"]]))
        field.pop("default", None)
    elif change == "null" and not isinstance(field["type"], list):
        field["type"] = nullable(field["type"])
        field.pop("default", None)
    elif change == "inner" and isinstance(field["type"], dict) and field["type"].get("name", "").startswith("Part_"):
        inside = field["type"]["fields"]
        inside.insert(0, {"name": f"i{number}", "type": ["null", "string"], "default": None})
        inside.reverse()
    else:
        after.reverse()
    return after


def schema_of(state: Iterable[dict[str, Any]], name: str = "Thing", extra: Sequence[Avro] = ()) -> dict[str, Any]:
    """A register's schema around these fields of its state; a named type's second use is its name."""
    more = [{"name": f"x{number}", "type": avro} for number, avro in enumerate(extra)]
    record = {"type": "record", "name": f"{name}State", "fields": [*copy.deepcopy(list(state)), *more]}
    around = [{"name": n, **copy.deepcopy(dict(parts))} for n, parts in ENVELOPE.items()]
    around.append({"name": "state", "type": ["null", record], "default": None})
    whole = {"type": "record", "name": name, "namespace": "vn.lienthong.sample", "fields": around}
    seen: set[str] = set()
    return {**whole, "fields": [{**field, "type": _once(field["type"], seen)} for field in around]}


def _once(avro: Avro, seen: set[str]) -> Avro:
    if isinstance(avro, list):
        return [_once(branch, seen) for branch in avro]
    if not isinstance(avro, dict):
        return avro
    if "name" in avro and avro["name"] in seen:
        return avro["name"] if len(seen) % 2 else f"vn.lienthong.sample.{avro['name']}"
    seen |= {avro["name"]} if "name" in avro else set()
    found = dict(avro)
    if "items" in avro:
        found["items"] = _once(avro["items"], seen)
    if "fields" in avro:
        found["fields"] = [{**field, "type": _once(field["type"], seen)} for field in avro["fields"]]
    return found


def reading_of(
    versions: Sequence[dict[str, Any]], reader: int = -1, topics: int = 1, extra: Sequence[dict[str, Any]] = ()
) -> Reading:
    """How a replica reads the versions, numbered from 1; ``extra`` are writers' schemas numbered on, FOREIGN is one's."""
    writers = {SchemaId(number): codec.parse(schema) for number, schema in enumerate([*versions, *extra], 1)}
    foreign = schema_of([{"name": "id", "type": "string"}, {"name": "f0", "type": ["null", "string"]}], "Other")
    return Reading(
        register=REGISTER,
        table=table_of(REGISTER, versions[reader]),
        sources=dict(list(SOURCES.items())[:topics]),
        reader=codec.parse(versions[reader]),
        writers={**writers, FOREIGN: codec.parse(foreign)},
    )


# --- values ------------------------------------------------------------------------------------------------------------

NFD = "Nguye\u0302\u0303n Thi\u0323 Be\u0301"
TEXTS = [
    "",
    "a",
    "Nguyễn Thị Bích Ngọc",
    NFD,
    "👩‍👧 🇻🇳",
    'quo"te \\ back',
    "\x00",
    "\x00odd",
    "a\nb\tc\x07\x1f\x7f\x85\u2028",
    "{}",
    "null",
    "x" * 200,
]
INTS = [0, 1, -1, 2**31 - 1, -(2**31), 63, 64, -64, -65]
LONGS = [*INTS, 2**63 - 1, -(2**63), 2**53 + 1, 10**18, 2**31]
FLOATS = [0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan"), 16777216.0]
DOUBLES = [*FLOATS, 1e300, 5e-324, 0.1, 1e16, 1e-5]
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
DAYS = [0, 20_000, -719_162, 2_932_896]
BAD_DAYS = [-719_163, 2_932_897, -719_528, 2**31 - 1, -(2**31), 2**40, 2**63 - 1, -(2**63)]
BAD_US = [FIRST_US - 1, LAST_US + 1, 2**63 - 1, -(2**63)]
BAD_MS = [FIRST_US // 1000 - 1, LAST_US // 1000 + 1, 2**63 - 1, -(2**63), 9_223_372_036_854_776, 2**62]


@dataclass(frozen=True)
class Values:
    """Values of any type; ``wild`` ones are beyond what their types mean, too."""

    random: Random
    wild: bool = True

    def of(self, avro: Avro) -> Any:
        if isinstance(avro, list):
            branch = self.random.choice(avro)
            name = branch if isinstance(branch, str) else branch.get("name", branch["type"])
            # Naming the branch keeps fastavro from looking for one that the value fits.
            return None if branch == "null" else (name, self.of(branch))
        kind, logical = (avro, None) if isinstance(avro, str) else (avro["type"], avro.get("logicalType"))
        if logical is not None:
            return self._logical(logical, strange=self.wild and self.random.random() < 0.05)
        return self._plain(kind) if isinstance(avro, str) else self._complex(kind, avro)

    def _complex(self, kind: str, avro: Avro) -> Any:
        return {
            "record": lambda: {field["name"]: self.of(field["type"]) for field in avro["fields"]},
            "array": lambda: [self.of(avro["items"]) for _ in range(self.random.choice([0, 0, 1, 2, 3]))],
            "map": lambda: {text: self.of(avro["values"]) for text in self.random.sample(TEXTS, 2)},
            "enum": lambda: self.random.choice(avro["symbols"]),
            "fixed": lambda: self.random.randbytes(avro["size"]),
        }[kind]()

    def _logical(self, logical: str, *, strange: bool) -> Any:
        made = str(UUID(int=self.random.getrandbits(128)))
        sound, wrong = {
            "date": (DAYS, BAD_DAYS),
            "timestamp-micros": ([0, FIRST_US, LAST_US, NOW_US, NOW_US + 1, -1], BAD_US),
            "timestamp-millis": ([0, FIRST_US // 1000, LAST_US // 1000, -1], BAD_MS),
            "uuid": ([made], [made.upper(), "{" + made + "}", made.replace("-", ""), "no uuid", "", made + "\n"]),
            "decimal": ([Decimal(self.random.randrange(10**9)).scaleb(-2)], [b"\x7f" * 5, b"", b"\x80" * 17]),
            "time-millis": ([1000], [-1]),
        }[logical]
        return self.random.choice(wrong if strange else sound)

    def _plain(self, kind: str) -> Any:
        return self.random.choice(
            {
                "string": TEXTS,
                "int": [*INTS, 2**40, -(2**63)] if self.wild else INTS,
                "long": LONGS,
                "float": FLOATS if self.wild else FLOATS[:3],
                "double": DOUBLES if self.wild else [0.0, 1.5, 0.1, 1e300],
                "boolean": [True, False],
                "bytes": [b"", b"\xff\x00", "đ".encode()],
            }[kind]
        )


# --- records -----------------------------------------------------------------------------------------------------------


class Stream:
    """Records of one register, one behind the other, as a consumer hands them out."""

    def __init__(self, reading: Reading, seed: int = 1, *, wild: bool = False) -> None:
        self.reading, self.random, self.wild = reading, Random(seed), wild  # noqa: S311 - test data
        self.records: list[Record] = []
        self.written: list[dict[str, Any]] = []

    def add(self, kind: str = "UPSERT", version: int = 1, key: str = "k1", schema: int = 1, damage: str = "") -> None:
        topic = self.random.choice(list(self.reading.sources))
        source = self.reading.sources[topic].writer
        record = Record(topic, len(self.records) % 3, len(self.records), 1, key.encode(), b"", ())
        if kind == "tombstone":
            headers = [
                ("ce_id", b"00000000-0000-7000-8000-00000000000A"),
                ("ce_source", b"/agencies/" + source.encode()),
            ]
            headers += [("ce_recordversion", str(version).encode()), ("ce_time", b"2026-07-06T08:30:00+07:00")]
            record = replace(record, value=None, headers=tuple(headers))
        elif kind == "marker":
            record = replace(record, key=MARKER_KEY, value=self.random.choice([None, b"", b"\x00\x00\x00\x00\x01x"]))
        else:
            parsed = self.reading.writers[SchemaId(schema)]
            values = self._event(parsed, kind, key, version, source)
            self.written.append(values)
            record = replace(record, value=encoded(SchemaId(schema), parsed, values))
        self.records.append(damaged(record, damage, self) if damage else record)

    def _event(self, parsed: dict[str, Any], kind: str, key: str, version: int, source: str) -> dict[str, Any]:
        values = Values(self.random, self.wild)
        state = next(field["type"][1] for field in parsed["fields"] if field["name"] == "state")
        return {
            "event_id": str(UUID(int=self.random.getrandbits(128))),
            "op": kind,
            "key": key,
            "version": version,
            "source": source,
            "occurred_at": values.of(MICROS),
            "recorded_at": NOW,
            "replaced_by": "k9" if kind == "MERGE" else None,
            "state": {**values.of(state), "id": key} if kind == "UPSERT" else None,
        }


def encoded(schema_id: SchemaId, parsed: dict[str, Any], values: dict[str, Any]) -> bytes:
    """A record's value; the state's branch is named, so that whatever is in it gets written."""
    state = next(field["type"][1]["name"] for field in parsed["fields"] if field["name"] == "state")
    named = None if values["state"] is None else (state, values["state"])
    return wire.prefix(schema_id) + codec.body(parsed, {**values, "state": named})


OP_AT = 5 + 37
"""Where the operation's index stands in a value: behind prefix and event id. The key's length follows."""
CLAIMS = [-1, -(2**63), 2**31, 2**40, 2**62, 2**63 - 1]
TRUTHS = [
    "no source",
    "other source",
    "other key",
    "state key",
    "with state",
    "without state",
    "replaced_by",
    "spelling",
]
BYTES = ["cut", "stray", "magic", "unknown", "foreign", "version", "claim", "op", "utf8", "rubbish", "empty", "short"]
BYTES += ["twice", "next", "flip", "insert", "headers"]
KEYS = ["null key", "empty key", "wrong key", "bad key"]
DAMAGES = [*TRUTHS, *BYTES, *KEYS]


def damaged(record: Record, damage: str, stream: Stream) -> Record:
    """The record with one thing wrong with it."""
    if damage in KEYS:
        keys = {"null key": None, "empty key": b"", "wrong key": b"k1x", "bad key": b"k\xff"}
        return replace(record, key=keys[damage])
    if damage == "headers":
        kept = [header for header in record.headers if stream.random.random() < 0.5]
        wrong = [("ce_recordversion", b"9" * 30), ("ce_id", None), ("ce_time", b"2026-07-06"), ("ce_source", b"\xff")]
        wrong += [("ce_time", b"0001-01-01T00:00:00+07:00"), ("ce_time", None), ("ce_recordversion", None)]
        return replace(record, headers=(*record.headers, stream.random.choice(wrong)) if kept else ())
    if not record.value or len(record.value) < OP_AT + 3 or record.key == MARKER_KEY:
        return record
    if damage in TRUTHS:
        return _untrue(record, damage, stream)
    return replace(record, value=_spoilt(record.value, damage, stream))


def _untrue(record: Record, damage: str, stream: Stream) -> Record:
    """Well encoded, and not what an event may say."""
    schema_id, _ = wire.split(record.value)
    parsed, values = stream.reading.writers[schema_id], dict(stream.written[-1])
    state = values["state"]
    if damage.endswith("source"):
        values["source"] = "" if damage == "no source" else "H29.7"
    elif damage == "other key":
        values["key"] += "x"
    elif damage == "spelling":
        values["event_id"] = stream.random.choice([values["event_id"].upper(), "no uuid", values["event_id"] + "\n"])
    elif damage == "state key" and state:
        values["state"] = {**state, "id": "k0"}
    elif damage == "with state":
        values["op"] = "DELETE"
    elif damage == "without state":
        values["op"], values["state"] = "UPSERT", None
    else:
        values["replaced_by"] = None if values["replaced_by"] else ""
    return replace(record, value=encoded(schema_id, parsed, values))


def _spoilt(value: bytes, damage: str, stream: Stream) -> bytes:
    random, body = stream.random, value[wire.PREFIX_BYTES :]
    at = random.randrange(wire.PREFIX_BYTES, len(value))
    if damage == "flip":
        flipped = value[at] ^ (1 << random.randrange(8))
        # A branch number of -2 is null to fastavro and a value to Polars: the one difference that is known.
        return value if value[at] in (0, 2) and flipped == 3 else value[:at] + bytes([flipped]) + value[at + 1 :]
    return {
        "cut": lambda: value[: random.choice([-1, -2, -3, at])],
        "stray": lambda: value + random.choice([b"x", b"\x00", b"\x00" * 5, value[:5], value]),
        "magic": lambda: bytes([random.randrange(1, 256)]) + value[1:],
        "unknown": lambda: wire.prefix(SchemaId(12345)) + body,
        "foreign": lambda: wire.prefix(FOREIGN) + body,
        "version": lambda: wire.prefix(random.choice(list(stream.reading.writers))) + body,
        "claim": lambda: value[: OP_AT + 1] + written(random.choice(CLAIMS)) + value[OP_AT + 2 :],
        "op": lambda: value[:OP_AT] + written(random.choice([3, -1, -3, -4, 2**40, 2**62])) + value[OP_AT + 1 :],
        "utf8": lambda: bytes(0xFF if n >= OP_AT and byte > 0x7F else byte for n, byte in enumerate(value)),
        "rubbish": lambda: value[:5] + random.randbytes(random.randrange(80)),
        "empty": lambda: b"",
        "short": lambda: value[: random.randrange(6)],
        "twice": lambda: value[:at] + value,
        "next": lambda: value[:-1] + value[:5],
        "insert": lambda: value[:at] + random.randbytes(2) + value[at:],
        "headers": lambda: value,
    }[damage]()


@st.composite
def streams(draw: st.DrawFn, damages: Sequence[str] = (), largest: int = 25, *, wild: bool = True) -> Stream:
    """A register, its versions, how a replica reads them, and what is on its topics."""
    versions = draw(evolutions())
    reader = draw(st.sampled_from([-1, -1, -1, 0]))
    extra = [
        schema_of(
            _state_fields(versions[-1]), extra=draw(st.lists(st.sampled_from(ONLY_WRITTEN), max_size=2, unique_by=str))
        )
    ]
    reading = reading_of(versions, reader, draw(st.integers(1, 2)), extra)
    stream = Stream(reading, draw(st.integers(0, 2**32)), wild=wild)
    kinds = st.sampled_from(["UPSERT"] * 6 + ["DELETE", "MERGE", "tombstone", "marker"])
    what = st.tuples(
        kinds, st.sampled_from([1, 2, 3, 2**63 - 1, -(2**63)]), st.sampled_from(["k1", "k2", "khoá", "k\x00"])
    )
    schemas = st.integers(1, len(versions) + 1)
    wrong = st.one_of(st.just(""), st.just(""), st.sampled_from(damages)) if damages else st.just("")
    least = draw(st.sampled_from([0, 1, 6, largest - 5]))
    records = st.lists(st.tuples(what, schemas, wrong), min_size=least, max_size=largest)
    for (kind, version, key), schema, damage in draw(records):
        stream.add(kind, version, key, schema, damage)
    return stream


def _state_fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return next(field["type"][1]["fields"] for field in schema["fields"] if field["name"] == "state")  # type: ignore[no-any-return]


def as_columns(records: Sequence[Record]) -> Records:
    """The same records as the daemon has them."""
    rows = [(each.topic, each.partition, each.offset, each.timestamp, each.key, each.value) for each in records]
    headers = [written(len(each.headers)) + b"".join(map(_header, each.headers)) for each in records]
    found = [(*row, text) for row, text in zip(rows, headers, strict=True)]
    return Records(pl.DataFrame(found, schema=COLUMNS, orient="row"))


def _header(header: tuple[str, bytes | None]) -> bytes:
    return b"".join(
        written(-1 if each is None else len(each)) + (each or b"") for each in (header[0].encode(), header[1])
    )


# --- the promise -------------------------------------------------------------------------------------------------------


def assert_same(reading: Reading, records: Sequence[Record]) -> None:
    """Both ways give the same frame, the same parked records for the same reasons, and the same counts."""
    by_rows = decode_rows(reading, enumerate(records))
    by_columns = ColumnDecoder().decode(reading, as_columns(records))
    if currently_in_test_context():
        _tell(reading, records, by_rows)
    known = {  # see the module ``columns``: it reads a branch out of a union's range as the value
        (each.topic, each.partition, each.offset)
        for each in by_rows.parked
        if "IndexError" in each.detail and each not in by_columns.parked
    }
    offsets = [(record.topic, record.partition, record.offset) for record in records]
    there = by_columns.events.filter([offsets[place] not in known for place in by_columns.events.get_column("record")])
    assert_frame_equal(there, by_rows.events, check_exact=True)
    assert _origins(by_columns.parked) == _origins(each for each in by_rows.parked if _origin(each) not in known)
    assert by_columns.counts == by_rows.counts


def _tell(reading: Reading, records: Sequence[Record], by_rows: Decoded) -> None:
    """What a failing example is made of."""
    note(f"reader: {_state_fields(reading.reader)}")
    note(f"writers: {[_state_fields(writer) for writer in reading.writers.values()]}")
    note(f"parked: {[(each.offset, each.detail) for each in by_rows.parked]}")
    note(f"records: {[(record.key, record.value) for record in records]}")


def _origins(parked: Iterable[Any]) -> list[Any]:
    return sorted((*_origin(each), each.reason, each.detail, each.topic_id, each.value or b"") for each in parked)


def _origin(parked: Any) -> tuple[Any, ...]:
    return parked.topic, parked.partition, parked.offset
