from tests.contract.stores.building import IDENTITY, RESIDENCE, Owner, parked, upsert


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


def test_parked_events_are_found_by_register_in_order_of_their_place(store):
    residence = Owner(store, RESIDENCE)
    residence.send(parked=[parked(1, table=RESIDENCE)])
    Owner(store).send(parked=[parked(12), parked(9), parked(3, partition=1)])
    found = store.parked(IDENTITY.register)
    assert [(each.partition, each.offset) for each in found] == [(0, 9), (0, 12), (1, 3)]
    assert len(store.parked()) == 4
    assert [each.offset for each in store.parked(limit=2)] == [9, 12]


def test_parked_event_without_key_and_value_and_with_odd_text_is_kept(store):
    event = parked(7, key=None, value=None, headers=(("\0odd", b"\xff"),), detail="a\0b")
    Owner(store).send(parked=[event])
    (found,) = store.parked()
    assert (found.key, found.value) == (None, None)
    assert found.headers == (("\0odd", b"\xff"),)
