"""One fingerprint per state, however it came and whichever schema version wrote it."""

import datetime as dt
from io import BytesIO

import fastavro
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.codec import parse
from bus.schema.avsc import load_register
from bus.schema.codes import load_codes
from bus.schema.columns import frame_schema
from producers.filediff.context import context_of
from producers.filediff.fingerprint import fingerprints, row_prints
from tests.producing import IDENTITY, person
from tests.schema_folders import EMAIL, with_next_version

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = {
    "string": TEXT,
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "date": st.dates(dt.date(1800, 1, 1), dt.date(2100, 1, 1)),
    "timestamp": st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
}


def value(field):
    if field.record:
        made = record(field.record)
    elif field.items:
        made = st.lists(value(field.items.fields[0]), max_size=3)
    else:
        made = VALUES[field.kind]
    return st.none() | made if field.nullable else made


def record(schema):
    return st.fixed_dictionaries({field.name: value(field) for field in schema.fields})


def of(states, schema):
    return fingerprints(pl.DataFrame(states, schema=frame_schema(schema)), schema).to_list()


def there_and_back(state, schema):
    """The state as it comes out of an event."""
    avro = parse(next(field["type"] for field in schema.parsed["fields"] if field["name"] == "state")[1])
    body = BytesIO()
    fastavro.schemaless_writer(body, avro, state)
    body.seek(0)
    return fastavro.schemaless_reader(body, avro, None)


@pytest.mark.parametrize("register", ["resident.residence", "business.registration", "dossier.case"])
def test_frame_and_decoded_event_have_the_same_fingerprint(register):
    schema = load_register(register)[-1]

    @settings(max_examples=60, database=None)
    @given(st.lists(record(schema.state), min_size=1, max_size=4))
    def holds(states):
        assert of(states, schema) == of([there_and_back(state, schema) for state in states], schema)
        apart = [of([state], schema)[0] for state in states]
        assert of(states, schema) == apart

    holds()


def test_different_states_have_different_fingerprints():
    schema = load_register("dossier.case")[-1]

    @settings(max_examples=100, database=None)
    @given(record(schema.state), record(schema.state))
    def holds(one, other):
        assert (of([one], schema) == of([other], schema)) == (one == other)

    holds()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"full_name": "ab", "other_name": None}, {"full_name": "a", "other_name": "b"}),
        ({"other_name": "", "native_place": None}, {"other_name": None, "native_place": ""}),
        ({"other_name": "x11:full_name=1:y"}, {"other_name": "x", "full_name": "y"}),
    ],
)
def test_values_never_run_into_each_other(one, other):
    schema = load_register("resident.identity")[-1]
    first, second = of([person(1) | one, person(1) | other], schema)
    assert first != second


def test_column_added_later_changes_nothing_until_it_says_something(tmp_path):
    tags = EMAIL | {"name": "phones", "type": {"type": "array", "items": "string"}, "default": []}
    tags.pop("check")
    old, new = load_register("resident.identity", with_next_version(tmp_path, "resident.identity", EMAIL, tags))
    state = person(1)
    assert of([state], old) == of([state | {"email": None, "phones": []}], new)
    assert of([state], old) != of([state | {"email": "mau@example.vn", "phones": []}], new)
    assert of([state], old) != of([state | {"email": None, "phones": ["090"]}], new)


def test_fingerprint_is_the_same_on_every_machine_and_in_every_release():
    assert of([person(1)], load_register("resident.identity")[0]) == [FIXED]


FIXED = 6513118800394065283


CELLS = {"a": ["1", "1", None], "b": ["x", "y", "x"]}


def test_print_of_a_row_of_text_hangs_on_each_cell_its_column_and_the_context_not_on_their_order():
    frame = pl.DataFrame(CELLS)
    prints = row_prints(frame, "rules").to_list()
    assert len(set(prints)) == 3
    assert row_prints(frame.select("b", "a"), "rules").to_list() == prints
    assert not set(row_prints(frame.rename({"a": "c"}), "rules")) & set(prints)
    assert not set(row_prints(frame, "other rules")) & set(prints)


def test_row_whose_cells_could_be_cut_otherwise_has_no_print():
    frame = pl.DataFrame({"a": ["1\x1f2", "1"], "b": ["3", "2\x1f3"]})
    assert row_prints(frame, "rules").to_list() == [None, None]


def test_context_changes_with_whatever_says_what_a_row_means():
    contexts = [
        context_of(load_register(IDENTITY)[-1], "H29.5", load_codes()),
        context_of(load_register(IDENTITY)[-1], "H29.6", load_codes()),
        context_of(load_register(IDENTITY)[-1], "H29.5", load_codes(), ["mapping"]),
    ]
    assert len(set(contexts)) == 3
    assert context_of(load_register(IDENTITY)[-1], "H29.5", load_codes()) == contexts[0]
