from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bus.errors import ClusterMismatch, Fenced
from consumers.stores.model import Outcome, Slot
from tests.contract.stores.building import IDENTITY, Owner, delete, filled, held, parked, upsert

REGISTER = IDENTITY.register


def test_claim_starts_at_zero_and_raises_the_epoch_each_time(store):
    first = Owner(store)
    assert (first.offset, first.epoch) == (0, 1)
    first.send(upsert("a", 1))
    second = Owner(store)
    assert (second.offset, second.epoch) == (1, 2)


def test_overtaken_owner_is_fenced_and_nothing_of_its_batch_happens(store):
    first = Owner(store)
    Owner(store)
    with pytest.raises(Fenced):
        first.send(upsert("a", 1), counts={"superseded": 1}, parked=[parked(0)])
    assert held(store) == {}
    assert store.counters(REGISTER) == {}
    assert list(store.parked()) == []
    assert store.positions(REGISTER, Slot.LIVE)[first.at].next_offset == 0


def test_wrong_offset_is_fenced(store):
    owner = Owner(store)
    owner.send(upsert("a", 1))
    owner.offset = 0
    with pytest.raises(Fenced):
        owner.send(upsert("b", 1), upsert("c", 1))
    assert held(store) == {"a": 1}


def test_partition_never_claimed_is_fenced(store):
    owner = Owner(store)
    owner.partition = 5
    with pytest.raises(Fenced):
        owner.send(upsert("a", 1))


def test_one_fenced_partition_stops_the_whole_batch(store):
    one, two = Owner(store), Owner(store, partition=1)
    both = replace(one.batch(upsert("a", 1)), advances=[*one.batch().advances, *two.batch().advances])
    two.claim()
    with pytest.raises(Fenced):
        store.apply(both)
    assert store.positions(REGISTER, Slot.LIVE)[one.at].next_offset == 0


def test_batch_whose_answer_was_lost_is_given_again_and_changes_nothing(store):
    owner = Owner(store)
    batch = owner.batch(upsert("a", 1), delete("b", 1), parked=[parked(0)], counts={"superseded": 1})
    assert store.apply(batch) == Outcome(2, 0)
    counted = store.counters(REGISTER)
    assert store.apply(batch) == Outcome(0, 0)
    assert store.counters(REGISTER) == counted
    assert len(store.parked()) == 1


def test_fill_whose_answer_was_lost_is_given_again_and_changes_nothing(store):
    store.begin_fill(REGISTER)
    owner = Owner(store, slot=Slot.SHADOW)
    batch = owner.batch(upsert("a", 1))
    store.fill(batch)
    store.fill(batch)
    assert store.finish_fill(REGISTER) == Outcome(1, 0)


def test_topic_made_again_is_never_mixed(store):
    Owner(store)
    with pytest.raises(ClusterMismatch, match=r"city\.resident\.identity"):
        Owner(store, topic_id="topic-2")
    assert Owner(store).epoch == 2


def test_caught_up_time_is_kept_until_a_newer_one_comes(store):
    owner = Owner(store)
    told = datetime(2025, 7, 1, 1, 2, 3, 4, tzinfo=UTC)
    owner.send(upsert("a", 1), caught_up_at=told)
    owner.send(upsert("a", 2))
    assert store.positions(REGISTER, Slot.LIVE)[owner.at].caught_up_at == told
    owner.send(caught_up_at=told + timedelta(hours=1))
    assert store.positions(REGISTER, Slot.LIVE)[owner.at].caught_up_at == told + timedelta(hours=1)


def test_position_that_stays_can_say_again_that_it_is_caught_up(store):
    owner = Owner(store)
    owner.send(upsert("a", 1))
    told = datetime(2025, 7, 1, tzinfo=UTC)
    stay = replace(owner.batch().advances[0], next_offset=owner.offset, caught_up_at=told)
    for _ in range(2):
        assert store.apply(replace(owner.batch(), advances=[stay])) == Outcome(0, 0)
    position = store.positions(REGISTER, Slot.LIVE)[owner.at]
    assert (position.next_offset, position.caught_up_at) == (1, told)


def test_partitions_move_apart(store):
    one, two = Owner(store), Owner(store, partition=1)
    one.send(upsert("a", 1))
    two.send(upsert("b", 1), upsert("c", 1))
    found = store.positions(REGISTER, Slot.LIVE)
    assert (found[one.at].next_offset, found[two.at].next_offset) == (1, 2)


def test_registers_and_slots_have_positions_of_their_own(store):
    owner = filled(store, upsert("a", 1))
    store.begin_fill(REGISTER)
    shadow = Owner(store, slot=Slot.SHADOW)
    assert (owner.offset, shadow.offset) == (1, 0)
    shadow.send(upsert("a", 1))
    owner.send(upsert("a", 2))
    assert held(store) == {"a": 2}


def test_swap_fences_every_owner_from_before(store):
    live = Owner(store)
    store.begin_fill(REGISTER)
    shadow = Owner(store, slot=Slot.SHADOW)
    shadow.send(upsert("a", 1))
    live.send(upsert("a", 1))
    store.finish_fill(REGISTER)
    live_epoch = live.epoch
    for former in (live, shadow):
        former.slot = Slot.LIVE
        with pytest.raises(Fenced):
            former.send(upsert("b", 1))
    after = Owner(store)
    assert after.offset == 1
    assert after.epoch > max(live_epoch, shadow.epoch)


def test_positions_survive_a_restart(place):
    owner = Owner(place.open())
    owner.send(upsert("a", 1))
    if place.kind != "memory":
        owner.store.close()
    again = Owner(place.open())
    assert (again.offset, again.epoch) == (1, 2)
    assert held(again.store) == {"a": 1}
