"""Events to bytes and back. Whatever the bytes, decoding gives an event or BodyInvalid, soon and in little memory."""

import resource
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import codec, wire
from bus.errors import BodyInvalid, CatalogInvalid
from bus.event import Event, Op
from bus.names import AgencyCode, RegisterName, SchemaId
from tests.unit.schema.samples import array, date, field, optional, record, schema

THING = RegisterName("sample.thing")
DOCUMENT = record("Document", field("name", "string"), optional("pages", "long"), optional("issued", date()))
PARSED = codec.parse(
    schema(
        field("id", "string"),
        optional("born", date()),
        optional("at", {"type": "long", "logicalType": "timestamp-micros"}),
        field("amount", "double"),
        field("open", "boolean"),
        optional("documents", array(DOCUMENT)),
        optional("main", "Document"),
    )
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
DOCUMENTS = st.fixed_dictionaries(
    {"name": TEXT, "pages": st.none() | st.integers(-(2**63), 2**63 - 1), "issued": st.none() | st.dates()}
)
STATES = st.fixed_dictionaries(
    {
        "id": TEXT,
        "born": st.none() | st.dates(),
        "at": st.none() | TIMES,
        "amount": st.floats(allow_nan=False),
        "open": st.booleans(),
        "documents": st.none() | st.lists(DOCUMENTS, max_size=3),
        "main": st.none() | DOCUMENTS,
    }
)
EVENTS = st.builds(
    Event,
    register=st.just(THING),
    event_id=st.uuids(),
    op=st.sampled_from(Op),
    key=TEXT,
    version=st.integers(-(2**63), 2**63 - 1),
    source=TEXT.map(AgencyCode),
    occurred_at=TIMES,
    recorded_at=TIMES,
    replaced_by=st.none() | TEXT,
    state=st.none() | STATES,
)


@settings(max_examples=60)
@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    value = codec.Encoder(SchemaId(7), PARSED).encode(event)
    schema_id, body = wire.split(value)
    assert schema_id == 7
    assert codec.decode(THING, body, PARSED) == event
    assert codec.decode(THING, body, PARSED, PARSED) == event


def decoded(body: bytes) -> Event | None:
    """The event, or nothing where it is refused; any other exception is the test's to fail on."""
    try:
        return codec.decode(THING, body, PARSED, PARSED)
    except BodyInvalid:
        return None


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_an_event(body: bytes) -> None:
    assert isinstance(decoded(body), Event | None)


@settings(max_examples=200)
@given(EVENTS, st.integers(0, 10_000), st.binary(max_size=12), st.integers(0, 12))
def test_an_event_with_other_bytes_in_it_is_refused_or_an_event(event: Event, at: int, put: bytes, over: int) -> None:
    body = codec.body(PARSED, codec.record(event))
    at %= len(body)
    assert isinstance(decoded(body[:at] + put + body[at + over :]), Event | None)


@settings(max_examples=60)
@given(EVENTS, st.integers(1, 10_000))
def test_a_body_cut_anywhere_is_refused(event: Event, at: int) -> None:
    body = codec.body(PARSED, codec.record(event))
    assert decoded(body[: -(at % len(body)) or -1]) is None
    assert decoded(body + b"\x00") is None


@pytest.mark.parametrize(
    "claim", [b"\xff" * 9 + b"\x01", b"\xfe" * 9 + b"\x01", b"\x80" * 8 + b"\x40", b"\x01", b"\xff" * 30]
)
def test_a_claim_of_endless_items_or_text_costs_nothing(claim: bytes) -> None:
    event = Event(
        THING, UUID(int=1), Op.DELETE, "k", 1, AgencyCode("H29"), datetime.now(UTC), datetime.now(UTC), None, None
    )
    body = codec.body(PARSED, codec.record(event))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for at in range(len(body)):
        decoded(body[:at] + claim + body[at + 1 :])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def holder(avro: Any, **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Holder", "fields": [{"name": "held", "type": avro}], **more}


EMPTY = {"type": "record", "name": "Empty", "fields": []}
NOTHING = [
    "null",
    EMPTY,
    {"type": "fixed", "name": "None", "size": 0},
    {"type": "record", "name": "Nulls", "fields": [{"name": "a", "type": "null"}, {"name": "b", "type": EMPTY}]},
]


@pytest.mark.parametrize("items", NOTHING)
@pytest.mark.parametrize("around", [lambda a: a, lambda a: ["null", a], lambda a: {"type": "map", "values": a}])
def test_a_list_of_nothing_is_refused_because_ten_bytes_may_claim_any_number(items: Any, around: Any) -> None:
    with pytest.raises(CatalogInvalid, match="no bytes"):
        codec.parse(holder(around({"type": "array", "items": items})))


@pytest.mark.parametrize(
    "inner",
    [
        ["null", "Holder"],
        {"type": "array", "items": "Holder"},
        {"type": "map", "values": "vn.x.Holder"},
        ["null", {"type": "record", "name": "Between", "fields": [{"name": "b", "type": ["null", "Holder"]}]}],
    ],
)
def test_a_record_inside_itself_is_refused_because_it_may_nest_without_end(inner: Any) -> None:
    """fastavro's native recursion ends the process a few ten thousand levels deep."""
    with pytest.raises(CatalogInvalid, match="holds itself"):
        codec.parse(holder(inner, namespace="vn.x"))


@pytest.mark.parametrize(
    "avro", [{"type": "array", "items": "int"}, {"type": "map", "values": "null"}, EMPTY, ["null"]]
)
def test_what_takes_bytes_or_comes_once_is_fine(avro: Any) -> None:
    assert codec.parse(holder(avro))["name"] == "Holder"


@pytest.mark.parametrize("raw", [{}, {"type": "record"}, holder("Unknown"), {"type": "record", "name": 7, "fields": 8}])
def test_what_is_no_schema_is_refused_in_words(raw: Any) -> None:
    with pytest.raises(CatalogInvalid, match="not an Avro schema"):
        codec.parse(raw)


@pytest.mark.parametrize(("count", "fine"), [(10, True), (40, False)])
def test_types_named_again_and_again_are_refused_before_they_are_spelled_out(count: int, fine: bool) -> None:
    """Each of forty records holds the one before twice: spelled out copy by copy, 2**40 of them."""
    fields: list[dict[str, Any]] = [{"name": "f0", "type": holder("int", name="R0")}]
    for n in range(1, count):
        inner = [{"name": name, "type": f"R{n - 1}"} for name in "ab"]
        fields.append({"name": f"f{n}", "type": {"type": "record", "name": f"R{n}", "fields": inner}})
    whole = {"type": "record", "name": "Whole", "fields": fields}
    if fine:
        assert codec.parse(whole)["name"] == "Whole"
    else:
        with pytest.raises(CatalogInvalid, match="types"):
            codec.parse(whole)


def test_a_field_whose_name_is_no_text_is_refused() -> None:
    with pytest.raises(CatalogInvalid, match="name"):
        codec.parse({"type": "record", "name": "R", "fields": [{"name": {}, "type": "int"}]})
