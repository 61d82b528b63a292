from dataclasses import replace

import polars as pl
import pytest

from bus.errors import Fenced, RegisterUnknown
from bus.names import RegisterName
from consumers.stores.model import Outcome, Phase, Slot
from tests.contract.stores.building import (
    ALL,
    FULL_STATE,
    IDENTITY,
    TAX,
    Owner,
    delete,
    filled,
    held,
    merge,
    parked,
    upsert,
)

REGISTER = IDENTITY.register
WIDER = replace(IDENTITY, columns={**IDENTITY.columns, "religion": pl.String()}, fingerprint="identity-2")


def begun(store, table=IDENTITY):
    store.begin_fill(table.register)
    return Owner(store, table, Slot.SHADOW)


def test_fill_shows_nothing_until_it_is_finished(store):
    shadow = begun(store)
    shadow.send(upsert("a", 1), upsert("b", 1))
    assert held(store) == {}
    status = store.status(REGISTER)
    assert (status.phase, status.filling, status.fingerprint, status.generation) == (Phase.ABSENT, True, None, 0)
    assert store.finish_fill(REGISTER) == Outcome(2, 0)
    assert held(store) == {"a": 1, "b": 1}
    status = store.status(REGISTER, count_rows=True)
    assert (status.phase, status.filling, status.fingerprint) == (Phase.READY, False, "identity-1")
    assert (status.generation, status.rows) == (1, 2)


def test_fill_keeps_the_newest_of_each_key_in_whatever_order_they_come(store):
    shadow = begun(store)
    shadow.send(upsert("a", 1, full_name="1"), upsert("b", 9), upsert("c", 5))
    shadow.send(upsert("a", 3, full_name="3"), delete("b", 7), delete("c", 6), delete("d", 1))
    shadow.send(upsert("a", 2, full_name="2"), delete("b", 8), merge("e", 4, "a"), upsert("d", 2))
    assert store.finish_fill(REGISTER) == Outcome(5, 6)
    assert held(store) == {"a": 3, "b": 9, "d": 2, "e": 4}
    assert store.get(REGISTER, "a").fields["full_name"] == "3"
    assert store.get(REGISTER, "e").replaced_by == "a"


def test_fill_leaves_graves(store):
    shadow = begun(store)
    shadow.send(upsert("a", 1), delete("b", 5))
    shadow.send(delete("a", 2))
    store.finish_fill(REGISTER)
    owner = Owner(store)
    assert owner.send(upsert("a", 2), upsert("b", 4)) == Outcome(0, 2)
    assert owner.send(upsert("a", 3), upsert("b", 6)) == Outcome(2, 0)


def test_fill_counts_once_and_only_what_was_finished(store):
    shadow = begun(store)
    shadow.send(upsert("a", 1), counts={"superseded": 2}, parked=[parked(1)])
    assert store.counters(REGISTER) == {"superseded": 2, "parked": 1}
    again = begun(store)
    again.send(upsert("a", 1), upsert("b", 1), counts={"superseded": 3}, parked=[parked(1)])
    again.send(upsert("a", 2))
    store.finish_fill(REGISTER)
    assert store.counters(REGISTER) == {"applied": 2, "stale": 1, "superseded": 3, "parked": 1}
    assert len(store.parked()) == 1


def test_fill_begun_anew_starts_from_nothing(store):
    first = begun(store)
    first.send(upsert("a", 1), delete("b", 1))
    second = begun(store)
    assert second.offset == 0
    with pytest.raises(Fenced):
        first.send(upsert("c", 1))
    second.send(upsert("b", 1))
    assert store.finish_fill(REGISTER) == Outcome(1, 0)
    assert held(store) == {"b": 1}


def test_nothing_is_filled_or_finished_without_a_beginning(store):
    with pytest.raises(Fenced):
        store.finish_fill(REGISTER)
    with pytest.raises(Fenced):
        Owner(store, slot=Slot.SHADOW)
    shadow = begun(store)
    store.finish_fill(REGISTER)
    with pytest.raises(Fenced):
        shadow.send(upsert("a", 1))


def test_empty_fill_makes_a_register_ready(store):
    begun(store)
    assert store.finish_fill(REGISTER) == Outcome(0, 0)
    assert store.status(REGISTER).phase is Phase.READY


def test_fill_survives_a_restart(place):
    shadow = begun(place.open())
    shadow.send(upsert("a", 1))
    if place.kind != "memory":
        shadow.store.close()
    store = place.open()
    assert store.status(REGISTER).filling
    again = Owner(store, slot=Slot.SHADOW)
    assert again.offset == 1
    again.send(upsert("b", 1))
    assert store.finish_fill(REGISTER) == Outcome(2, 0)


def test_live_table_goes_on_while_a_rebuild_fills(store):
    live = filled(store, upsert("a", 1), upsert("b", 1), upsert("gone", 1))
    shadow = begun(store)
    shadow.send(upsert("a", 1), upsert("b", 1))
    assert live.send(upsert("a", 2), delete("b", 2)) == Outcome(2, 0)
    assert held(store) == {"a": 2, "gone": 1}
    shadow.send(upsert("a", 2))
    store.finish_fill(REGISTER)
    assert held(store) == {"a": 2}
    assert store.status(REGISTER).generation == 2
    assert Owner(store).send(upsert("b", 2)) == Outcome(0, 1)


def test_rebuild_brings_nobody_back(store):
    live = filled(store, upsert("a", 1), upsert("b", 1))
    live.send(delete("a", 2))
    shadow = begun(store)
    shadow.send(upsert("a", 1), upsert("b", 1))
    live.send(delete("b", 3))
    shadow.send(upsert("b", 2))
    store.finish_fill(REGISTER)
    assert held(store) == {}
    assert Owner(store).send(upsert("a", 2), upsert("b", 3)) == Outcome(0, 2)


def test_rebuild_replaces_what_its_topic_no_longer_says(store):
    filled(store, upsert("a", 1), upsert("b", 1))
    filled(store, upsert("b", 1), upsert("c", 1))
    assert held(store) == {"b": 1, "c": 1}


def test_widened_table_keeps_old_rows_and_tells_that_they_lack_something(place):
    owner = filled(place.open(), upsert("a", 1, full_name="An"))
    if place.kind != "memory":
        owner.store.close()
    store = place.open([WIDER, *ALL[1:]])
    row = store.get(REGISTER, "a")
    assert (row.fields["full_name"], row.fields["religion"]) == ("An", None)
    assert store.status(REGISTER).fingerprint == "identity-1"
    assert store.rows(REGISTER).columns[-1] == "religion"
    live = Owner(store, WIDER)
    live.send(upsert("b", 1, religion="không"))
    assert store.get(REGISTER, "b").fields["religion"] == "không"
    store.begin_fill(REGISTER)
    shadow = Owner(store, WIDER, Slot.SHADOW)
    shadow.send(upsert("a", 1, religion="Phật giáo"), upsert("b", 1, religion="không"))
    store.finish_fill(REGISTER)
    assert store.get(REGISTER, "a").fields["religion"] == "Phật giáo"
    assert store.status(REGISTER).fingerprint == "identity-2"


def test_store_that_is_open_can_be_widened(store):
    live = filled(store, upsert("a", 1))
    live.send(upsert("a", 2))
    store.open([WIDER])
    live = Owner(store, WIDER)
    live.send(upsert("a", 3, religion="không"))
    assert store.get(REGISTER, "a").fields["religion"] == "không"
    assert Owner(store, TAX).send(upsert("t", 1)) == Outcome(1, 0)


def test_shadow_begun_with_fewer_columns_is_dropped(place):
    shadow = begun(place.open())
    shadow.send(upsert("a", 1))
    if place.kind != "memory":
        shadow.store.close()
    store = place.open([WIDER])
    assert not store.status(REGISTER).filling
    store.begin_fill(REGISTER)
    assert Owner(store, WIDER, Slot.SHADOW).offset == 0


def test_narrowed_table_holds_no_longer_what_it_should_not_after_a_rebuild(place):
    owner = filled(place.open(), upsert("a", 1, **FULL_STATE))
    if place.kind != "memory":
        owner.store.close()
    fewer = {name: IDENTITY.columns[name] for name in ("personal_id", "full_name")}
    narrow = replace(IDENTITY, columns=fewer, fingerprint="identity-0")
    store = place.open([narrow])
    assert store.get(REGISTER, "a").fields == {"personal_id": "a", "full_name": FULL_STATE["full_name"]}
    filled(store, upsert("a", 1, full_name="An"), table=narrow)
    assert store.rows(REGISTER).width == 10
    if place.kind == "sqlite":
        kept = {name for (name,) in place.sql("SELECT name FROM pragma_table_info('resident_identity')")}
        assert "children" not in kept
    if place.kind == "postgres":
        kept = place.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'resident_identity'")
        assert ("children",) not in kept


def test_large_fill_in_many_batches_equals_its_newest_events(store):
    shadow = begun(store)
    for start in range(0, 3000, 500):
        shadow.send(*(upsert(f"k{n:05d}", 1) for n in range(start, start + 500)))
    shadow.send(
        *(upsert(f"k{n:05d}", 2) for n in range(0, 3000, 3)), *(delete(f"k{n:05d}", 3) for n in range(1, 3000, 3))
    )
    assert store.finish_fill(REGISTER) == Outcome(3000, 2000)
    assert held(store) == {f"k{n:05d}": 1 + (n % 3 == 0) for n in range(3000) if n % 3 != 1}


def test_rebuild_that_was_asked_for_stands_until_a_fill_begins(store):
    assert not store.status(REGISTER).rebuild_asked
    store.ask_rebuild(REGISTER)
    store.ask_rebuild(REGISTER)
    assert store.status(REGISTER).rebuild_asked
    begun(store)
    assert not store.status(REGISTER).rebuild_asked


def test_rebuild_of_an_unknown_register_is_refused(store):
    with pytest.raises(RegisterUnknown):
        store.ask_rebuild(RegisterName("resident.nothing"))
