import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.registry import records
from bus.registry.base import Registered
from bus.registry.ledger import Ledger
from bus.registry.records import Entry, Removed, Skipped, SubjectDeleted
from tests.schemas import schema_text, with_field

TEXT = schema_text()
SECOND = with_field(TEXT, "note")


def key(subject="a", version=1, keytype="SCHEMA", **more) -> bytes:
    return json.dumps({"keytype": keytype, "subject": subject, "version": version, "magic": 1, **more}).encode()


def value(subject="a", version=1, schema_id=1, text=TEXT, **more) -> bytes:
    return json.dumps({"subject": subject, "version": version, "id": schema_id, "schema": text, **more}).encode()


def ledger(*said: tuple[bytes | None, bytes | None]) -> Ledger:
    made = Ledger()
    for record in said:
        made.add(*record)
    return made


def released(made: Ledger, subject="a") -> list[tuple[int, int]]:
    return [(release.version, release.schema_id) for release in made.versions(subject)]


def test_written_record_has_confluents_keys_in_confluents_order():
    written = records.write(Registered("city.code.ward-value", 2, 7, '{"a":"Đ"}'))
    assert written == (
        b'{"keytype":"SCHEMA","subject":"city.code.ward-value","version":2,"magic":1}',
        '{"subject":"city.code.ward-value","version":2,"id":7,"schema":"{\\"a\\":\\"Đ\\"}","deleted":false}'.encode(),
    )


def test_written_record_reads_back():
    written = records.write(Registered("a", 2, 7, TEXT))
    assert records.read(*written) == Entry("a", 2, 7, TEXT)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b'{"keytype":"CONFIG","subject":null,"magic":0}', "other_kind"),
        (b'{"keytype":"MODE","subject":"a","magic":0}', "other_kind"),
        (b'{"keytype":"NOOP","magic":0}', "other_kind"),
        (b'{"keytype":"CLEAR_SUBJECT","subject":"a","magic":0}', "other_kind"),
        (b'{"keytype":"SCHEMA","subject":":.other:a","version":1,"magic":1}', "other_context"),
        (b'{"subject":"a"}', "garbage"),
        (b"\x00\xff", "garbage"),
        (b"[1]", "garbage"),
        (b"", "garbage"),
        (None, "garbage"),
    ],
)
def test_record_that_says_nothing_to_us_is_counted(key, reason):
    assert records.read(key, value()) == Skipped(reason)
    assert ledger((key, value())).skipped == {reason: 1}


@pytest.mark.parametrize(
    "value",
    [b"", b"null", b"{", b'{"subject":"a"}', value(schema_id=0), value(schema_id=2**31), value(version=0), b"[" * 5000],
)
def test_garbage_under_a_good_key_is_counted_and_takes_nothing(value):
    made = ledger((key(), value))
    assert released(made) == []
    assert made.skipped == {"garbage": 1}
    assert made.next_release("a", TEXT).schema_id == 1


def test_fields_that_we_do_not_know_are_no_obstacle():
    said = value(guid="0", ts=1, metadata={"x": 1}, ruleSet=None, schemaType="AVRO", references=[], offset=9)
    assert released(ledger((key(node="x"), said))) == [(1, 1)]


@pytest.mark.parametrize(
    "foreign",
    [
        value(schema_id=4, text="syntax = 'proto3';", schemaType="PROTOBUF"),
        value(schema_id=4, text="{}", schemaType="JSON"),
        value(schema_id=4, references=[{"name": "x.Y", "subject": "y", "version": 1}]),
        value(schema_id=4, text='"string"'),
        value(schema_id=4, text='["null","string"]'),
        value(schema_id=4, text="not json"),
    ],
)
def test_schema_that_no_event_uses_takes_its_id_and_version_and_is_not_served(foreign):
    made = ledger((key(), foreign))
    assert made.schema(4) is None
    assert released(made) == []
    release = made.next_release("a", TEXT)
    assert (release.version, release.schema_id) == (2, 5)


def test_soft_deleted_version_is_not_offered_but_its_events_stay_readable():
    made = ledger((key(), value()), (key(), value(deleted=True)))
    assert released(made) == []
    assert made.subjects() == ()
    assert made.schema(1) == json.loads(TEXT)
    release = made.next_release("a", TEXT)
    assert (release.version, release.schema_id) == (2, 1)


def test_deleting_a_subject_deletes_the_versions_up_to_the_one_named():
    deletion = (b'{"keytype":"DELETE_SUBJECT","subject":"a","magic":0}', b'{"subject":"a","version":1}')
    made = ledger((key(), value()), (key(version=2), value(version=2, schema_id=2, text=SECOND)), deletion)
    assert records.read(*deletion) == SubjectDeleted("a", 1)
    assert released(made) == [(2, 2)]


def test_tombstone_takes_a_version_away_and_never_its_id():
    made = ledger((key(), value()), (key(), None))
    assert records.read(key(), None) == Removed("a", 1)
    assert released(made) == []
    assert made.schema(1) == json.loads(TEXT)
    assert made.next_release("b", SECOND).schema_id == 2


def test_id_that_already_stands_for_another_schema_keeps_its_first_meaning():
    made = ledger((key(), value()), (key("b"), value("b", text=SECOND)))
    assert made.schema(1) == json.loads(TEXT)
    assert released(made, "b") == []
    assert made.skipped == {"id_conflict": 1}


def test_same_schema_in_other_white_space_keeps_its_id():
    made = ledger((key(), value()))
    assert made.next_release("b", json.dumps(json.loads(TEXT), indent=1)).schema_id == 1


entries = st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(1, 4)).map(
    lambda said: (key(said[0], said[1]), value(*said, text=with_field(TEXT, f"f{said[2]}")))
)
deletions = st.tuples(st.sampled_from("ab"), st.integers(1, 3)).map(
    lambda said: (key(said[0], 0, "DELETE_SUBJECT"), json.dumps({"version": said[1]}).encode())
)
tombstones = st.tuples(st.sampled_from("ab"), st.integers(1, 3)).map(lambda said: (key(*said), None))


@settings(max_examples=50)
@given(st.lists(entries | deletions | tombstones, max_size=8))
def test_reading_a_topic_twice_is_reading_it_once(said):
    once, twice = ledger(*said), ledger(*said, *said)
    assert [once.versions(s) for s in "ab"] == [twice.versions(s) for s in "ab"]
    assert once.next_release("a", TEXT) == twice.next_release("a", TEXT)


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.none(), st.binary(max_size=60) | st.none())
def test_no_bytes_are_ever_fatal(key, value):
    assert ledger((key, value)).subjects() == ()
