"""The stores' pure rooms: owning, cursors, graves, shapes."""

from dataclasses import replace
from hashlib import blake2b

import polars as pl
import pytest

from bus.errors import ChangesExpired, ClusterMismatch, ConfigInvalid, Fenced
from bus.names import RegisterName, TopicName
from consumers.stores.feed import Cursor
from consumers.stores.graves import hash_keys, outlive
from consumers.stores.model import Advance, Partition, Position
from consumers.stores.owning import check_topics, is_repeated
from consumers.stores.shape import Kind, by_subject, describe, kind_of, recall, stored_columns, view
from tests.contract.stores.building import ALL, IDENTITY, TAX

REGISTER = RegisterName("resident.identity")
ZERO, ONE = (Partition(TopicName("city.resident.identity"), number) for number in (0, 1))


def move(at=ZERO, epoch=3, expected=10, next_offset=15):
    return Advance(at, epoch, expected, next_offset)


def at_offset(offset, epoch=3):
    return Position("topic-1", offset, epoch, None)


def test_moves_from_where_the_owner_believes_may_be_made():
    assert not is_repeated(REGISTER, [move(), move(ONE)], {ZERO: at_offset(10), ONE: at_offset(10)})
    assert not is_repeated(REGISTER, [], {})


def test_moves_all_made_before_are_repeated():
    assert is_repeated(REGISTER, [move(), move(ONE)], {ZERO: at_offset(15), ONE: at_offset(15)})
    assert is_repeated(REGISTER, [move(), move(ONE, next_offset=10)], {ZERO: at_offset(15), ONE: at_offset(10)})


def test_partition_that_stays_is_no_repetition():
    assert not is_repeated(REGISTER, [move(next_offset=10)], {ZERO: at_offset(10)})


@pytest.mark.parametrize(
    "held",
    [
        {},
        {ZERO: at_offset(10, epoch=4), ONE: at_offset(10)},
        {ZERO: at_offset(15, epoch=4), ONE: at_offset(15)},
        {ZERO: at_offset(15), ONE: at_offset(10)},
        {ZERO: at_offset(9), ONE: at_offset(10)},
        {ZERO: at_offset(10)},
    ],
)
def test_anything_else_is_fenced(held):
    with pytest.raises(Fenced):
        is_repeated(REGISTER, [move(), move(ONE)], held)


def test_topic_with_another_id_is_a_mismatch_and_a_new_partition_is_none():
    check_topics(REGISTER, {ZERO: "topic-1", ONE: "topic-1"}, {ZERO: at_offset(1)})
    with pytest.raises(ClusterMismatch):
        check_topics(REGISTER, {ZERO: "topic-2"}, {ZERO: at_offset(1)})


@pytest.mark.parametrize("text", ["abc.5.1", "abc.9.9"])
def test_cursor_between_floor_and_ceiling_is_read_back(text):
    assert str(Cursor.read(text, era="abc", floor=(5, 1), ceiling=(9, 9))) == text


@pytest.mark.parametrize("text", ["abd.6.1", "abc.5.0", "abc.10.0", "abc.6", "abc.6.1.1", "abc.-6.1", "abc.x.1", ""])
def test_any_other_cursor_is_expired(text):
    with pytest.raises(ChangesExpired):
        Cursor.read(text, era="abc", floor=(5, 1), ceiling=(9, 9))


def test_graves_hash_is_keyed_blake2b_of_sixteen_bytes():
    (found,) = hash_keys(b"s" * 32, ["Đ"])
    assert found == blake2b("Đ".encode(), key=b"s" * 32, digest_size=16).digest()
    assert found != hash_keys(b"t" * 32, ["Đ"])[0]


def test_puts_newer_than_their_graves_outlive_them():
    puts = pl.DataFrame({"key": ["a", "b", "c", "d"], "_version": [1, 2, 3, 4]})
    graves = {b"a": 1, b"b": 1, b"c": 9}
    assert outlive(puts, [b"a", b"b", b"c", b"d"], graves)["key"].to_list() == ["b", "d"]


def test_table_described_is_recalled_but_for_what_lies_inside_nested_columns():
    found = recall(IDENTITY.register, describe(IDENTITY))
    assert replace(found, columns={}) == replace(IDENTITY, columns={})
    kinds = [kind_of(dtype) for dtype in IDENTITY.columns.values()]
    assert [kind_of(dtype) for dtype in found.columns.values()] == kinds
    assert found.columns["fee"] == pl.Decimal(18, 2)
    assert describe(found) == describe(IDENTITY)


def test_type_without_a_place_is_refused():
    with pytest.raises(ConfigInvalid, match="Duration"):
        kind_of(pl.Duration("us"))


def test_key_comes_first_and_the_envelope_last():
    assert list(stored_columns(TAX)) == [
        "tax_id", "enterprise_code", "tax_status",
        "_version", "_source", "_occurred_at", "_recorded_at", "_event_id", "_replaced_by",
    ]  # fmt: skip
    assert kind_of(stored_columns(IDENTITY)["address"]) is Kind.JSON


def test_view_has_each_registers_fields_under_its_short_name_and_the_key_once():
    body = view(by_subject(ALL)[TAX.subject])
    assert '"registration"."name" AS "registration_name"' in body
    assert '"tax"."tax_id" AS "tax_tax_id"' in body
    assert "tax_enterprise_code" not in body
    assert '"tax"."_version" AS "tax_version"' in body
