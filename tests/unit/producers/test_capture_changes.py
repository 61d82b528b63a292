from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import ConfigInvalid
from producers.capture.follow.changes import Assembler, told
from producers.capture.follow.pgoutput import UNCHANGED, Begin, Change, Commit, Relation, Truncate
from producers.capture.follow.ranges import Range, has_read, read_view
from producers.capture.source import Source

SOURCE = Source(
    "public", "persons", {"id": "integer", "cccd": "text", "ten": "text"}, ("id",), ("cccd", "ten"), ("cccd",), " ", "f"
)
BEGIN = Begin(500, datetime(2026, 1, 1, tzinfo=UTC), 7)
RELATION = Relation(1, "public", "persons", "f", ("id", "cccd", "ten"))


def events(*changes, until=0):
    assembler = Assembler(SOURCE, until)
    found = [event for message in (BEGIN, RELATION, *changes) for event in assembler.feed(message)]
    assert assembler.inside
    list(assembler.feed(Commit(500, 510, BEGIN.committed_at)))
    assert not assembler.inside
    return [(event.op, event.columns["cccd"], event.columns["ten"]) for event in found]


def update(old, new):
    return Change("update", 1, old, True, new)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (("1", "A", "x"), ("1", "A", "y"), [("UPSERT", "A", "y")]),
        (("1", "A", "x"), ("2", "A", "x"), []),
        (("1", "A", "x"), ("1", "B", "x"), [("DELETE", "A", "x"), ("UPSERT", "B", "x")]),
        (("1", None, "x"), ("1", "B", "x"), [("UPSERT", "B", "x")]),
        (("1", "A", "x"), ("1", None, "x"), [("DELETE", "A", "x")]),
        (("1", None, "x"), ("1", None, "y"), []),
        (("1", "A", "long"), ("1", "B", UNCHANGED), [("DELETE", "A", "long"), ("UPSERT", "B", "long")]),
    ],
)
def test_update_becomes_the_events_of_what_changed(old, new, expected):
    assert events(update(old, new)) == expected


def test_row_that_moves_while_the_table_is_read_is_told_though_no_field_changed():
    moved = update(("1", "A", "x"), ("2", "A", "x"))
    assert events(moved, until=BEGIN.final_lsn + 1) == [("UPSERT", "A", "x")]
    assert events(moved, until=BEGIN.final_lsn) == []


def test_insert_and_delete_of_a_row_without_a_key_are_no_events():
    assert (
        events(Change("insert", 1, None, False, ("1", None, "x")), Change("delete", 1, ("1", None, "x"), True, None))
        == []
    )


def test_table_that_was_truncated_or_lost_a_column_is_told():
    for message in (
        Truncate((1,)),
        Relation(1, "public", "persons", "f", ("id", "ten")),
        Relation(1, "public", "persons", "d", RELATION.columns),
    ):
        with pytest.raises(ConfigInvalid, match="persons"):
            events(message)


def test_event_ids_are_the_same_whenever_the_log_is_read_and_differ_within_a_transaction():
    changes = [Change("insert", 1, None, False, (str(n), str(n), "x")) for n in range(3)]
    ids = []
    for _ in range(2):
        assembler = Assembler(SOURCE)
        ids.append(
            [event.event_id("1 5") for message in (BEGIN, RELATION, *changes) for event in assembler.feed(message)]
        )
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3
    assert {(each.version, each.variant) for each in ids[0]} == {(7, "specified in RFC 4122")}


@pytest.mark.parametrize(
    ("cell", "kind", "expected"),
    [
        ("t", "boolean", "true"),
        ("2026-01-02 03:04:05.5+00", "timestamp with time zone", "2026-01-02T03:04:05.5+00:00"),
        ("2026-01-02 03:04:05", "timestamp without time zone", "2026-01-02T03:04:05"),
        ("a b", "text", "a b"),
        (None, "boolean", None),
    ],
)
def test_value_of_the_log_has_the_form_it_has_in_json(cell, kind, expected):
    assert told(cell, kind) == expected


@given(st.integers(0, 2**40), st.sets(st.integers(1, 100)), st.integers(-1000, 1000))
def test_view_sees_ended_transactions_whose_32_bits_come_round(base, running, distance):
    xmin, xmax = base + 2_000, base + 2_101
    view = read_view(f"{xmin}:{xmax}:{','.join(str(xmin + each) for each in running)}")
    xid = xmin + distance
    seen = xid < xmin or (xid < xmax and xid - xmin not in running)
    assert view.has(xid & 0xFFFFFFFF) == seen


def test_change_is_compared_with_the_view_of_its_own_range():
    ranges = [Range(["5"], read_view("10:10:")), Range(None, read_view("20:20:"))]

    def within(one, other):
        return int(one[0]) <= int(other[0])

    assert [has_read(ranges, xid, [key], within) for xid, key in ((9, "5"), (15, "5"), (15, "6"), (20, "6"))] == [
        True,
        False,
        True,
        False,
    ]
