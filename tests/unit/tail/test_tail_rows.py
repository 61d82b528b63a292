import json

import pytest
from aiokafka import ConsumerRecord

from bus import codec
from bus.catalog import load_catalog
from bus.event import MARKER_KEY, Op
from bus.registry import MemoryRegistry
from bus.schema.avsc import load_all
from bus.tail import HIDDEN, Reader, _records, _state, covered, line
from tests.events import deleted, record, release, resident, tombstone


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
async def encoder(registry) -> codec.Encoder:
    return await release(registry, "city")


def arrived(key, value, headers=()) -> ConsumerRecord:
    return ConsumerRecord("city.resident.identity", 3, 7, 0, 0, key, value, None, 0, 0, tuple(headers))


def reader(registry, **options) -> Reader:
    return Reader(load_catalog().register("resident.identity"), registry, **options)


async def test_personal_fields_and_key_are_hidden_unless_asked_for(registry, encoder):
    event = resident(1)
    row = await reader(registry).row(arrived(*record(encoder, event)))
    shown = json.dumps(row, default=str, ensure_ascii=False) + line(row)
    assert not any(value in shown for value in (event.key, event.state["full_name"], event.state["birth_date"]))
    assert (row["op"], row["key"], row["version"], row["source"], row["state"]["full_name"]) == (
        "UPSERT",
        "079*********",
        1,
        "H29.5",
        HIDDEN,
    )
    unmasked = await reader(registry, unmask=True).row(arrived(*record(encoder, event)))
    assert (unmasked["key"], unmasked["state"]["full_name"]) == (event.key, "Nguyễn Văn 1")


async def test_merge_shows_a_masked_pointer(registry, encoder):
    merged = resident(1, op=Op.MERGE, state=None, replaced_by="079085000002")
    row = await reader(registry).row(arrived(*record(encoder, merged)))
    assert (row["op"], row["replaced_by"], "state" in row) == ("MERGE", "079*********", False)
    assert "-> 079*********" in line(row)


async def test_tombstone_and_marker_are_shown_as_such(registry):
    row = await reader(registry).row(arrived(*tombstone(deleted(5))))
    assert (row["op"], row["key"], row["version"], row["source"]) == ("TOMBSTONE", "079*********", 5, "H29.5")
    assert (await reader(registry).row(arrived(MARKER_KEY, None)))["op"] == "MARKER"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "wire_invalid"),
        (b"\x01\0\0\0\1x", "wire_invalid"),
        (b"\0\0\0\0\7x", "schema_unknown"),
        (b"\0\0\0\0\1", "body_invalid"),
        (None, "body_invalid"),
    ],
)
async def test_record_that_cannot_be_read_is_a_row_that_says_why(registry, encoder, value, reason):
    row = await reader(registry).row(arrived(b"079085000001", value))
    assert (row["op"], row["reason"], row["key"]) == ("REFUSED", reason, "079*********")
    assert row["told"] in line(row)


async def test_nothing_in_an_event_steers_the_terminal(registry, encoder):
    event = resident(1, source="H\x1b[2J", state=resident(1).state | {"full_name": "\x1b]0;x\x07"})
    row = await reader(registry, unmask=True).row(arrived(*record(encoder, event)))
    assert line(row).isprintable()


SAMPLES = {"array": [{"a": 1}], "record": {"detail": "x"}}


@pytest.mark.parametrize("register", sorted(load_all()))
def test_only_fields_that_the_schema_calls_not_personal_are_shown(register):
    schema = json.loads(load_all()[register][-1].text)
    fields = load_all()[register][-1].fields
    state = {field.name: SAMPLES.get(field.kind, "value") for field in fields}
    shown = covered(state, _state(schema), dict(_records(schema)))
    assert [name for name, value in shown.items() if value == HIDDEN] == [f.name for f in fields if f.pii != "none"]


def test_field_inside_a_public_record_is_hidden_by_its_own_class_also_where_the_type_is_only_named():
    inner = {
        "type": "record",
        "name": "Person",
        "fields": [{"name": "n", "type": "string", "pii": "personal"}, {"name": "t", "type": "string", "pii": "none"}],
    }
    first = {"name": "a", "type": ["null", inner], "pii": "none"}
    again = {"name": "b", "type": {"type": "array", "items": "vn.x.Person"}, "pii": "none"}
    state = {"type": "record", "name": "S", "fields": [first, again]}
    person = {"n": "An", "t": "head"}
    hidden = {"n": HIDDEN, "t": "head"}
    shown = covered({"a": person, "b": [person]}, ["null", state], dict(_records(state)))
    assert shown == {"a": hidden, "b": [hidden]}
    assert covered({"a": None, "c": "new"}, state, {}) == {"a": None, "c": HIDDEN}
