"""Merging a batch: newest version per key, everything counted once."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from consumers.merging import Merged, merge
from consumers.stores.model import ENVELOPE

SCHEMA = {**ENVELOPE, "tombstone": pl.Boolean(), "record": pl.UInt32(), "name": pl.String()}
VERSIONS = st.sampled_from([1, 2, 3, 2**63 - 1, -(2**63)])
KEYS = st.sampled_from(["a", "b", "khoá", "Khoá", "khoa\u0301", "k\x00"])
EVENTS = st.lists(
    st.tuples(KEYS, VERSIONS, st.sampled_from(["UPSERT", "UPSERT", "DELETE", "MERGE", "tombstone"])), max_size=30
)
Event = tuple[str, int, str]


def frame(events: Sequence[Event]) -> pl.DataFrame:
    now = datetime(2026, 7, 6, tzinfo=UTC)
    rows: list[dict[str, Any]] = [
        {
            "op": "DELETE" if op == "tombstone" else op,
            "key": key,
            "version": version,
            "source": "H29.5",
            "occurred_at": now,
            "recorded_at": now,
            "event_id": str(place),
            "replaced_by": None,
            "tombstone": op == "tombstone",
            "record": place,
            "name": f"name {place}" if op == "UPSERT" else None,
        }
        for place, (key, version, op) in enumerate(events)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def by_key(merged: Merged) -> pl.DataFrame:
    return merged.rows.sort("key")


def echoes(events: Sequence[Event]) -> set[int]:
    """Places of the tombstones whose own delete came before them."""
    deleted: set[tuple[str, int]] = set()
    found = set()
    for place, (key, version, op) in enumerate(events):
        if op == "DELETE":
            deleted.add((key, version))
        elif op == "tombstone" and (key, version) in deleted:
            found.add(place)
    return found


def expected(events: Sequence[Event]) -> dict[str, int]:
    """The place of the event that each key comes to: the highest version, of equal ones the first."""
    skipped, newest = echoes(events), dict[str, int]()
    for place, (key, version, _) in enumerate(events):
        if place not in skipped and (key not in newest or version > events[newest[key]][1]):
            newest[key] = place
    return newest


@given(EVENTS)
def test_each_key_comes_to_its_newest_event_and_of_equal_ones_to_the_first(events: list[Event]) -> None:
    rows = merge(frame(events)).rows
    assert dict(zip(rows["key"], rows["record"], strict=True)) == expected(events)
    assert rows.columns == [name for name in SCHEMA if name != "tombstone"]


@given(EVENTS)
def test_every_event_is_a_row_or_superseded_or_a_tombstone(events: list[Event]) -> None:
    merged = merge(frame(events))
    assert merged.rows.height + merged.superseded + merged.tombstones == len(events)
    assert merged.tombstones == len(echoes(events))


@given(EVENTS)
def test_merging_again_changes_nothing(events: list[Event]) -> None:
    once = merge(frame(events))
    again = merge(once.rows.with_columns(tombstone=pl.lit(value=False)))
    assert_frame_equal(by_key(again), by_key(once), check_column_order=False)
    assert (again.superseded, again.tombstones) == (0, 0)


@given(EVENTS, st.randoms(use_true_random=False))
def test_how_different_keys_are_interleaved_does_not_matter(events: list[Event], random: Any) -> None:
    lanes = {key: [event for event in events if event[0] == key] for key, _, _ in events}
    turns = [key for key, lane in lanes.items() for _ in lane]
    random.shuffle(turns)
    waiting = {key: iter(lane) for key, lane in lanes.items()}
    one, other = merge(frame(events)), merge(frame([next(waiting[key]) for key in turns]))
    told = ["op", "key", "version"]
    assert_frame_equal(by_key(one).select(told), by_key(other).select(told))
    assert (one.superseded, one.tombstones) == (other.superseded, other.tombstones)


@given(EVENTS, st.integers(0, 30))
def test_a_batch_cut_in_two_comes_to_the_same_rows(events: list[Event], at: int) -> None:
    whole = frame(events)
    halves = [merge(whole[:at]).rows, merge(whole[at:]).rows]
    again = merge(pl.concat(halves).with_columns(tombstone=pl.lit(value=False)))
    told = ["op", "key", "version"]
    assert_frame_equal(by_key(again).select(told), by_key(merge(whole)).select(told))


def test_nothing_merges_to_nothing() -> None:
    merged = merge(frame([]))
    assert (merged.rows.height, merged.superseded, merged.tombstones) == (0, 0, 0)


def test_of_equal_versions_the_first_stays_in_a_large_batch_too() -> None:
    events = [(f"k{number % 7}", number % 3, "UPSERT") for number in range(20_000)]
    rows = merge(frame(events)).rows
    assert dict(zip(rows["key"], rows["record"], strict=True)) == expected(events)
