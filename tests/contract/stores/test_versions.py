from datetime import UTC, datetime, timedelta

from consumers.stores.model import Outcome
from tests.contract.stores.building import FULL_STATE, IDENTITY, Owner, delete, filled, held, merge, upsert


def test_newer_version_wins(store):
    owner = Owner(store)
    assert owner.send(upsert("a", 1, full_name="An")) == Outcome(1, 0)
    assert owner.send(upsert("a", 2, full_name="Ân")) == Outcome(1, 0)
    row = store.get(IDENTITY.register, "a")
    assert (row.version, row.fields["full_name"]) == (2, "Ân")


def test_equal_and_lower_versions_are_stale_and_counted(store):
    owner = Owner(store)
    owner.send(upsert("a", 5, full_name="An"))
    assert owner.send(upsert("a", 5, full_name="B")) == Outcome(0, 1)
    assert owner.send(upsert("a", 4, full_name="C"), upsert("b", 1)) == Outcome(1, 1)
    assert store.get(IDENTITY.register, "a").fields["full_name"] == "An"
    assert store.counters(IDENTITY.register) == {"applied": 2, "stale": 2}


def test_newer_state_replaces_every_field(store):
    owner = Owner(store)
    owner.send(upsert("a", 1, **FULL_STATE))
    owner.send(upsert("a", 2, full_name="An"))
    fields = store.get(IDENTITY.register, "a").fields
    assert {name: value for name, value in fields.items() if value is not None} == {
        "personal_id": "a",
        "full_name": "An",
    }


def test_delete_removes_the_row_and_what_came_before_stays_dead(store):
    owner = Owner(store)
    owner.send(upsert("a", 1), upsert("b", 1))
    assert owner.send(delete("a", 3)) == Outcome(1, 0)
    assert owner.send(upsert("a", 2)) == Outcome(0, 1)
    assert owner.send(upsert("a", 3)) == Outcome(0, 1)
    assert owner.send(merge("a", 2, "b")) == Outcome(0, 1)
    assert held(store) == {"b": 1}


def test_delete_of_a_key_never_seen_leaves_a_grave(store):
    owner = Owner(store)
    assert owner.send(delete("a", 3)) == Outcome(1, 0)
    assert owner.send(upsert("a", 2)) == Outcome(0, 1)


def test_stale_delete_leaves_the_row(store):
    owner = Owner(store)
    owner.send(upsert("a", 5), delete("b", 5))
    assert owner.send(delete("a", 5)) == Outcome(0, 1)
    assert owner.send(delete("a", 4)) == Outcome(0, 1)
    assert owner.send(delete("b", 5)) == Outcome(0, 1)
    assert held(store) == {"a": 5}


def test_grave_keeps_the_highest_version(store):
    owner = Owner(store)
    owner.send(delete("a", 3))
    assert owner.send(delete("a", 7)) == Outcome(1, 0)
    assert owner.send(delete("a", 5)) == Outcome(0, 1)
    assert owner.send(upsert("a", 6)) == Outcome(0, 1)
    assert owner.send(upsert("a", 8)) == Outcome(1, 0)


def test_creation_after_a_delete_wins_and_can_be_deleted_again(store):
    owner = Owner(store)
    owner.send(upsert("a", 1))
    owner.send(delete("a", 2))
    assert owner.send(upsert("a", 3)) == Outcome(1, 0)
    assert held(store) == {"a": 3}
    owner.send(delete("a", 4))
    assert owner.send(upsert("a", 3)) == Outcome(0, 1)
    assert held(store) == {}


def test_merge_leaves_a_pointer_without_state_and_an_unmerge_restores(store):
    owner = Owner(store)
    owner.send(upsert("old", 1, **FULL_STATE), upsert("new", 1))
    owner.send(merge("old", 2, "new"))
    row = store.get(IDENTITY.register, "old")
    assert (row.replaced_by, row.version) == ("new", 2)
    assert set(row.fields.values()) == {None}
    assert owner.send(upsert("old", 3, full_name="An")) == Outcome(1, 0)
    row = store.get(IDENTITY.register, "old")
    assert (row.replaced_by, row.fields["full_name"]) == (None, "An")


def test_batch_mixes_puts_merges_and_deletes(store):
    owner = filled(store, upsert("a", 1), upsert("b", 1), upsert("c", 9))
    outcome = owner.send(upsert("a", 2), delete("b", 2), merge("d", 1, "a"), upsert("c", 9), delete("e", 1))
    assert outcome == Outcome(4, 1)
    assert held(store) == {"a": 2, "c": 9, "d": 1}


def test_batch_without_events_moves_the_position_only(store):
    owner = Owner(store)
    assert owner.send(counts={"marker": 1}) == Outcome(0, 0)
    owner.claim()
    assert owner.offset == 1
    assert store.counters(IDENTITY.register) == {"marker": 1}


def test_pruned_grave_no_longer_holds(store):
    owner = Owner(store)
    owner.send(delete("a", 3))
    long_ago, later = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    store.prune(long_ago, long_ago)
    assert owner.send(upsert("a", 2)) == Outcome(0, 1)
    store.prune(later, long_ago)
    assert owner.send(upsert("a", 2)) == Outcome(1, 0)
