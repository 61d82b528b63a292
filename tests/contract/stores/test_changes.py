from datetime import UTC, datetime, timedelta

import pytest

from bus.errors import ChangesExpired
from tests.contract.stores.building import IDENTITY, NOON, RESIDENCE, Owner, delete, filled, merge, upsert


def seen(changes):
    return [(change.register, change.key, change.op, change.version) for change in changes]


def test_feed_says_what_was_applied_in_order_of_commits(store):
    owner = filled(store, upsert("a", 1))
    owner.send(upsert("b", 1))
    owner.send(delete("a", 2))
    owner.send(merge("b", 2, "c"))
    changes = store.changes(None, 10)
    name = IDENTITY.register
    assert seen(changes) == [(name, "b", "UPSERT", 1), (name, "a", "DELETE", 2), (name, "b", "MERGE", 2)]
    assert [change.recorded_at for change in changes] == [NOON + timedelta(microseconds=n) for n in (1, 2, 2)]


def test_fill_feeds_nothing_and_neither_does_what_comes_before_the_first(store):
    Owner(store).send(upsert("a", 1), delete("b", 1))
    filled(store, upsert("a", 1))
    assert list(store.changes(None, 10)) == []


def test_stale_rows_are_not_fed(store):
    owner = filled(store, upsert("a", 5), delete("b", 5))
    owner.send(upsert("a", 5), upsert("b", 4), upsert("c", 1))
    owner.send(upsert("a", 4), delete("b", 5), delete("c", 1))
    assert [change.key for change in store.changes(None, 10)] == ["c"]


def test_feed_goes_on_after_a_cursor_in_pages(store):
    owner = filled(store)
    for n in range(5):
        owner.send(upsert(f"a{n}", 1), upsert(f"b{n}", 1))
    keys, cursor = [], None
    while page := store.changes(cursor, 3):
        keys += [change.key for change in page]
        cursor = page[-1].cursor
    assert sorted(keys) == sorted(f"{letter}{n}" for letter in "ab" for n in range(5))
    assert [int(key[1]) for key in keys] == sorted(int(key[1]) for key in keys)
    assert store.changes(cursor, 3) == []
    owner.send(upsert("last", 1))
    assert [change.key for change in store.changes(cursor, 3)] == ["last"]


def test_latest_cursor_is_followed_by_what_comes_next_only(store):
    owner = filled(store)
    empty = store.latest_cursor()
    owner.send(upsert("a", 1))
    later = store.latest_cursor()
    owner.send(upsert("b", 1))
    assert [change.key for change in store.changes(empty, 10)] == ["a", "b"]
    assert [change.key for change in store.changes(later, 10)] == ["b"]


def test_swap_of_any_register_expires_cursors(store):
    owner = filled(store)
    owner.send(upsert("a", 1))
    cursor = store.changes(None, 1)[0].cursor
    filled(store, table=RESIDENCE)
    for old in (cursor, "anything", "", "1.2.3.4"):
        with pytest.raises(ChangesExpired):
            store.changes(old, 10)
    assert store.changes(store.latest_cursor(), 10) == []


def test_cursor_before_what_was_pruned_is_expired(store):
    owner = filled(store)
    before = store.latest_cursor()
    owner.send(upsert("a", 1))
    owner.send(upsert("b", 1))
    first, last = (change.cursor for change in store.changes(None, 10))
    now = datetime.now(UTC)
    store.prune(now - timedelta(days=1), now - timedelta(days=1))
    assert [change.key for change in store.changes(first, 10)] == ["b"]
    store.prune(now - timedelta(days=1), now + timedelta(days=1))
    for old in (before, first):
        with pytest.raises(ChangesExpired):
            store.changes(old, 10)
    assert store.changes(last, 10) == []
    owner.send(upsert("c", 1))
    assert [change.key for change in store.changes(last, 10)] == ["c"]
    assert [change.key for change in store.changes(None, 10)] == ["c"]


def test_feed_survives_a_restart(place):
    owner = filled(place.open())
    owner.send(upsert("a", 1))
    cursor = owner.store.latest_cursor()
    if place.kind != "memory":
        owner.store.close()
    owner = Owner(place.open())
    assert owner.store.changes(cursor, 10) == []
    owner.send(upsert("b", 1))
    assert [change.key for change in owner.store.changes(cursor, 10)] == ["b"]
