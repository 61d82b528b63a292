import struct
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producers.capture.follow.pgoutput import (
    EPOCH,
    UNCHANGED,
    Begin,
    Change,
    Commit,
    MessageInvalid,
    Relation,
    Truncate,
    read_message,
)

LSN = st.integers(0, 2**63)
OID = st.integers(0, 2**32 - 1)
TIMES = st.integers(0, 2**50).map(lambda us: EPOCH + timedelta(microseconds=us))
NAMES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=10)
CELLS = st.lists(
    st.none() | st.just(UNCHANGED) | st.text(st.characters(exclude_categories=["Cs"]), max_size=10), max_size=6
).map(tuple)
MESSAGES = st.one_of(
    st.builds(Begin, LSN, TIMES, OID),
    st.builds(Commit, LSN, LSN, TIMES),
    st.builds(Relation, OID, NAMES, NAMES, st.sampled_from("dnfi"), st.lists(NAMES, max_size=5).map(tuple)),
    st.builds(lambda relation, new: Change("insert", relation, None, False, new), OID, CELLS),
    st.builds(
        lambda relation, old, whole, new: Change("update", relation, old, whole, new), OID, CELLS, st.booleans(), CELLS
    ),
    st.builds(lambda relation, new: Change("update", relation, None, False, new), OID, CELLS),
    st.builds(lambda relation, old, whole: Change("delete", relation, old, whole, None), OID, CELLS, st.booleans()),
    st.builds(Truncate, st.lists(OID, max_size=5).map(tuple)),
)


def written(message):  # noqa: PLR0911 - one for each kind
    """The reader's mirror image, from the protocol's page."""
    match message:
        case Begin():
            return b"B" + struct.pack(">QqI", message.final_lsn, us(message.committed_at), message.xid)
        case Commit():
            return b"C\x00" + struct.pack(">QQq", message.lsn, message.end_lsn, us(message.committed_at))
        case Relation():
            columns = b"".join(b"\x01" + text(name) + struct.pack(">Ii", 25, -1) for name in message.columns)
            head = struct.pack(">I", message.id) + text(message.schema) + text(message.name)
            return b"R" + head + message.identity.encode() + struct.pack(">h", len(message.columns)) + columns
        case Change(kind="insert"):
            return b"I" + struct.pack(">I", message.relation) + b"N" + cells(message.new)
        case Change(kind="update"):
            return b"U" + struct.pack(">I", message.relation) + old(message) + b"N" + cells(message.new)
        case Change():
            return b"D" + struct.pack(">I", message.relation) + old(message)
        case Truncate():
            return b"T" + struct.pack(f">ib{len(message.relations)}I", len(message.relations), 0, *message.relations)


def us(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def text(name):
    return name.encode() + b"\x00"


def old(change):
    return b"" if change.old is None else (b"O" if change.whole else b"K") + cells(change.old)


def cells(values):
    return struct.pack(">h", len(values)) + b"".join(map(cell, values))


def cell(value):
    if value is None:
        return b"n"
    if value is UNCHANGED:
        return b"u"
    return b"t" + struct.pack(">i", len(value.encode())) + value.encode()


@given(MESSAGES)
def test_every_message_is_read_as_it_was_written(message):
    assert read_message(written(message)) == message


@given(MESSAGES, st.integers(0, 200), st.binary(max_size=4))
def test_message_that_is_cut_or_has_bytes_too_many_is_refused(message, keep, more):
    raw = written(message)
    damaged = raw[:keep] if keep < len(raw) else raw + (more or b"\x00")
    with pytest.raises(MessageInvalid):
        read_message(damaged)


@given(
    st.binary(max_size=60)
    | st.tuples(st.sampled_from("BCRIUDTOYMSE"), st.binary(max_size=60)).map(lambda told: told[0].encode() + told[1])
)
@example(b"")
@example(b"I\x00\x00\x00\x01N\x7f\xff")
@example(b"B" + b"\xff" * 20)
def test_any_bytes_are_a_message_or_refused(raw):
    try:
        read_message(raw)
    except MessageInvalid:
        return
