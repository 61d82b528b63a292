from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bus.errors import RowsRefused, Unavailable
from consumers.stores.model import Origin, Outcome, ParkedCount, Replay, Slot
from tests.contract.stores.building import (
    IDENTITY,
    RESIDENCE,
    Owner,
    delete,
    filled,
    frame,
    held,
    merge,
    parked,
    upsert,
)

REGISTER = IDENTITY.register


def replay(*events, settled=(), standing=(), table=IDENTITY):
    return Replay(table, frame(table, *events), [each.origin for each in settled], standing)


def offsets(found):
    return [each.offset for each in found]


def test_parked_event_is_kept_whole_and_counted(store):
    event = parked(7, detail="ward_code: not in the code list — mã không có")
    Owner(store).send(upsert("a", 1), parked=[event])
    assert list(store.parked()) == [event]
    assert store.counters(IDENTITY.register) == {"applied": 1, "parked": 1}


def test_event_parked_twice_is_kept_once(store):
    owner = Owner(store)
    owner.send(parked=[parked(7, reason="schema_unknown")])
    owner.send(parked=[parked(7), parked(8)])
    assert [(each.offset, each.reason) for each in store.parked()] == [(7, "schema_unknown"), (8, "body_invalid")]


def test_parked_events_are_found_by_register_in_order_of_their_origins(store):
    Owner(store, RESIDENCE).send(parked=[parked(1, table=RESIDENCE, topic_id="topic-2")])
    Owner(store).send(parked=[parked(12), parked(9), parked(3, partition=1)])
    found = store.parked(REGISTER)
    assert [(each.partition, each.offset) for each in found] == [(0, 9), (0, 12), (1, 3)]
    assert len(store.parked()) == 4
    assert offsets(store.parked(limit=2)) == [9, 12]


def test_pages_of_parked_events_end_where_the_next_begins(store):
    Owner(store).send(parked=[parked(n, partition=n % 3) for n in range(10)])
    found, page = [], store.parked(limit=4)
    while page:
        found += page
        page = store.parked(limit=4, after=page[-1].origin)
    assert sorted(offsets(found)) == list(range(10))
    assert [each.origin for each in found] == sorted(each.origin for each in found)


def test_parked_events_are_found_by_reason_and_time(store):
    owner = Owner(store)
    owner.send(parked=[parked(1), parked(2, reason="owner_wrong")])
    between = datetime.now(UTC)
    owner.send(parked=[parked(3)])
    assert offsets(store.parked(reason="owner_wrong")) == [2]
    assert offsets(store.parked(until=between)) == [1, 2]
    assert offsets(store.parked(since=between)) == [3]
    assert offsets(store.parked(since=between, until=between)) == []
    assert offsets(store.parked(REGISTER, reason="body_invalid", until=between)) == [1]


def test_one_parked_event_is_found_by_its_origin(store):
    before = datetime.now(UTC)
    Owner(store).send(parked=[parked(7)])
    found = store.parked_event(Origin.read("topic-1/0/7"))
    assert found == parked(7)
    assert before - timedelta(seconds=1) < found.parked_at < datetime.now(UTC) + timedelta(seconds=1)
    assert (found.replays, found.forwarded_at) == (0, None)
    assert store.parked_event(Origin("topic-1", 0, 8)) is None
    assert Origin.read("a/b+c==/0/7") == Origin("a/b+c==", 0, 7)


def test_parked_events_are_counted_by_register_and_reason(store):
    Owner(store, RESIDENCE).send(parked=[parked(1, table=RESIDENCE, topic_id="topic-2")])
    Owner(store).send(parked=[parked(1), parked(2), parked(3, reason="owner_wrong")])
    store.mark_forwarded([parked(1).origin])
    assert list(store.parked_counts()) == [
        ParkedCount(REGISTER, "body_invalid", 2, 1),
        ParkedCount(REGISTER, "owner_wrong", 1, 1),
        ParkedCount(RESIDENCE.register, "body_invalid", 1, 1),
    ]
    assert store.waiting() == 3


def test_forwarded_events_stay_parked_and_wait_no_more(store):
    Owner(store).send(parked=[parked(n) for n in range(4)])
    store.mark_forwarded([parked(n).origin for n in (0, 2)])
    assert offsets(store.parked(waiting=True)) == [1, 3]
    assert offsets(store.parked(waiting=True, after=parked(1).origin)) == [3]
    assert len(store.parked()) == 4
    assert store.parked_event(parked(2).origin).forwarded_at is not None
    store.mark_forwarded([])
    assert store.waiting() == 2


def test_dismissed_event_is_gone_and_a_rebuild_does_not_park_it_again(store):
    owner = Owner(store)
    owner.send(parked=[parked(7), parked(8)])
    assert store.dismiss([parked(7).origin, parked(99).origin]) == 1
    assert store.dismiss([parked(7).origin]) == 0
    owner.send(parked=[parked(7)])
    assert offsets(store.parked()) == [8]
    assert store.parked_event(parked(7).origin) is None
    assert store.waiting() == 1
    assert store.counters(REGISTER) == {"dismissed": 1, "parked": 2}


def test_what_a_rebuild_could_read_is_parked_no_more_and_the_rest_stays(store):
    live = filled(store)
    live.send(upsert("a", 1), parked=[parked(0), parked(1), parked(7), parked(2, partition=3)])
    store.begin_fill(REGISTER)
    Owner(store, slot=Slot.SHADOW).send(parked=[parked(0)])
    store.begin_fill(REGISTER)
    shadow = Owner(store, slot=Slot.SHADOW)
    shadow.send(upsert("a", 1), upsert("b", 1))  # the event at 0 is read now, the one at 1 is not
    shadow.send(parked=[parked(1), parked(5)])
    Owner(store, RESIDENCE).send(parked=[parked(0, table=RESIDENCE, topic_id="topic-2")])
    store.finish_fill(REGISTER)
    assert held(store) == {"a": 1, "b": 1}
    # 7 and partition 3 lie where the fill has not been.
    assert [(each.partition, each.offset) for each in store.parked(REGISTER)] == [(0, 1), (0, 5), (0, 7), (3, 2)]
    assert len(store.parked(RESIDENCE.register)) == 1
    Owner(store).send(parked=[parked(9)])
    assert len(store.parked(REGISTER)) == 5


def test_bytes_of_a_dismissed_event_are_erased(database):
    store = database.open()
    Owner(store).send(parked=[parked(7)])
    store.dismiss([parked(7).origin])
    assert database.sql("SELECT key, value, headers, detail FROM _lienthong_parked") == [(None, None, "[]", "")]


def test_replayed_event_is_applied_and_parked_no_more_and_no_position_moves(store):
    owner = filled(store, upsert("a", 1))
    owner.send(parked=[parked(7)])
    before, cursor = store.positions(REGISTER, Slot.LIVE), store.latest_cursor()
    assert store.replay(replay(upsert("b", 5), settled=[parked(7)])) == Outcome(1, 0)
    assert held(store) == {"a": 1, "b": 5}
    assert list(store.parked()) == []
    assert store.positions(REGISTER, Slot.LIVE) == before
    assert store.counters(REGISTER) == {"applied": 2}
    assert [(each.key, each.version) for each in store.changes(cursor, 10)] == [("b", 5)]
    owner.send(upsert("b", 6))
    assert held(store) == {"a": 1, "b": 6}


def test_replay_obeys_versions_graves_and_merges(store):
    owner = filled(store, upsert("newer", 9), upsert("older", 3), upsert("doomed", 3), upsert("joined", 3))
    owner.send(delete("buried", 9), parked=[parked(n) for n in range(6)])
    events = [
        upsert("newer", 5),
        upsert("older", 5),
        upsert("buried", 5),
        delete("doomed", 5),
        merge("joined", 5, "older"),
    ]
    # Six settled, five rows: the sixth was made needless by another.
    assert store.replay(replay(*events, settled=[parked(n) for n in range(6)])) == Outcome(3, 2)
    assert held(store) == {"newer": 9, "older": 5, "joined": 5}
    assert store.counters(REGISTER) == {"applied": 8, "stale": 2, "superseded": 1}
    owner.send(upsert("doomed", 4))
    assert "doomed" not in held(store)


def test_event_whose_cause_still_stands_stays_with_its_reason_of_now_and_a_count(store):
    owner = filled(store)
    owner.send(parked=[parked(7), parked(8)])
    store.mark_forwarded([parked(7).origin])
    standing = [parked(7, reason="owner_wrong", detail="not\0yet")]
    for _ in range(2):
        store.replay(replay(standing=standing))
    found = store.parked_event(parked(7).origin)
    assert (found.reason, found.replays, found.value) == ("owner_wrong", 2, parked(7).value)
    assert found.forwarded_at is not None
    assert store.parked_event(parked(8).origin).replays == 0
    assert store.counters(REGISTER) == {"parked": 2}


def test_many_events_are_replayed_at_once(store):
    owner = filled(store, upsert("k000", 9))
    owner.send(parked=[parked(n) for n in range(300)])
    events = [upsert(f"k{n:03d}", 5) for n in range(300)]
    assert store.replay(replay(*events, settled=[parked(n) for n in range(300)])) == Outcome(299, 1)
    assert (len(held(store)), len(store.parked())) == (300, 0)


def test_dry_replay_tells_the_outcome_and_changes_nothing(store):
    owner = filled(store, upsert("a", 1), upsert("b", 9))
    owner.send(parked=[parked(n) for n in range(4)])
    counted, cursor = store.counters(REGISTER), store.latest_cursor()
    wanted = replay(
        upsert("a", 5),
        upsert("b", 5),
        delete("c", 5),
        settled=[parked(n) for n in range(3)],
        standing=[parked(3, reason="owner_wrong")],
    )
    assert store.replay(wanted, dry=True) == Outcome(2, 1)
    assert held(store) == {"a": 1, "b": 9}
    assert [each.reason for each in store.parked()] == ["body_invalid"] * 4
    assert store.counters(REGISTER) == counted
    assert list(store.changes(cursor, 10)) == []
    owner.send(upsert("c", 3))
    assert "c" in held(store)


def test_replay_is_refused_while_the_register_is_being_filled(store):
    Owner(store).send(parked=[parked(7)])
    wanted = replay(upsert("a", 1), settled=[parked(7)])
    with pytest.raises(Unavailable, match="is being filled"):
        store.replay(wanted)
    filled(store).send(parked=[parked(7)])
    store.begin_fill(REGISTER)
    with pytest.raises(Unavailable, match="is being filled"):
        store.replay(wanted)
    assert (held(store), len(store.parked())) == ({}, 1)


def test_replay_of_an_event_that_is_parked_no_more_is_refused(store):
    filled(store).send(parked=[parked(7), parked(8)])
    store.dismiss([parked(8).origin])
    for wanted in (
        replay(upsert("a", 1), upsert("b", 1), settled=[parked(7), parked(8)]),
        replay(upsert("a", 1), settled=[parked(7)], standing=[parked(8)]),
    ):
        with pytest.raises(Unavailable, match="others have"):
            store.replay(wanted)
    assert (held(store), offsets(store.parked())) == ({}, [7])


def test_replay_decoded_for_another_table_is_refused(store):
    filled(store).send(parked=[parked(7)])
    with pytest.raises(Unavailable, match="has changed"):
        store.replay(replay(upsert("a", 1), settled=[parked(7)], table=replace(IDENTITY, fingerprint="identity-0")))
    assert held(store) == {}


def test_replay_that_the_database_cannot_hold_leaves_everything_as_it_was(store):
    filled(store).send(parked=[parked(7), parked(8)])
    with pytest.raises(RowsRefused):
        store.replay(replay(upsert("a", 1), upsert("b", 1, full_name="\0"), settled=[parked(7), parked(8)]))
    assert (held(store), offsets(store.parked())) == ({}, [7, 8])


def test_parked_event_without_key_and_value_and_with_odd_text_is_kept(store):
    event = parked(7, key=None, value=None, headers=(("\0odd", b"\xff"),), detail="a\0b")
    Owner(store).send(parked=[event])
    (found,) = store.parked()
    assert (found.key, found.value) == (None, None)
    assert found.headers == (("\0odd", b"\xff"),)


def test_graves_of_a_register_stay_while_an_event_of_it_is_parked(store):
    late = parked(7)
    owner, other = filled(store), Owner(store, RESIDENCE)
    owner.send(delete("a", 3), parked=[late])
    other.send(delete("a", 3))
    later = datetime.now(UTC) + timedelta(days=1)
    store.prune(later, datetime.now(UTC) - timedelta(days=1))
    assert store.replay(Replay(IDENTITY, frame(IDENTITY, upsert("a", 2)), [late.origin])) == Outcome(0, 1)
    assert held(store) == {}
    assert other.send(upsert("a", 2)) == Outcome(1, 0)
    store.prune(later, datetime.now(UTC) - timedelta(days=1))
    assert owner.send(upsert("a", 2)) == Outcome(1, 0)
