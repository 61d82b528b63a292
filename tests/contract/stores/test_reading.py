import threading
from dataclasses import replace

import polars as pl
import pytest

from bus.errors import DatabaseUnavailable, RegisterUnknown
from bus.names import RegisterName, SubjectKind
from consumers.stores.model import Slot
from tests.contract.stores.building import (
    ALL,
    FULL_STATE,
    IDENTITY,
    REGISTRATION,
    RESIDENCE,
    TAX,
    Owner,
    delete,
    filled,
    held,
    merge,
    parked,
    upsert,
)

RESIDENT, BUSINESS = SubjectKind("resident"), SubjectKind("business")


def test_reader_sees_what_the_writer_commits(place):
    store = place.open()
    reader = place.reader()
    assert reader.get(IDENTITY.register, "a") is None
    owner = filled(store, upsert("a", 1, **FULL_STATE))
    assert reader.get(IDENTITY.register, "a") == store.get(IDENTITY.register, "a")
    owner.send(upsert("a", 2), parked=[parked(1)])
    assert reader.get(IDENTITY.register, "a").version == 2
    assert reader.status(IDENTITY.register, count_rows=True).rows == 1
    assert reader.counters(IDENTITY.register) == {"applied": 2, "parked": 1}
    assert [change.version for change in reader.changes(None, 10)] == [2]
    assert len(reader.parked()) == 1
    assert reader.rows(IDENTITY.register).equals(store.rows(IDENTITY.register))
    assert reader.subject(RESIDENT, "a") == [reader.get(IDENTITY.register, "a")]
    assert reader.latest_cursor() == store.latest_cursor()


def test_reader_knows_the_tables_by_itself(place):
    place.open()
    reader = place.reader()
    assert list(reader.registers()) == sorted(table.register for table in ALL)
    found = reader.table(IDENTITY.register)
    assert replace(found, columns={}) == replace(IDENTITY, columns={})
    assert list(found.columns) == list(IDENTITY.columns)
    nested = {name for name, dtype in found.columns.items() if dtype.is_nested()}
    assert nested == {"address", "phones"}
    assert {name: dtype for name, dtype in found.columns.items() if name not in nested} == {
        name: dtype for name, dtype in IDENTITY.columns.items() if name not in nested
    }


def test_reader_that_is_open_sees_a_wider_table(place):
    store = place.open()
    reader = place.reader()
    filled(store, upsert("a", 1))
    assert "religion" not in reader.get(IDENTITY.register, "a").fields
    wider = replace(IDENTITY, columns={**IDENTITY.columns, "religion": pl.String()}, fingerprint="identity-2")
    store.open([wider])
    Owner(store, wider).send(upsert("a", 2, religion="không"))
    assert reader.get(IDENTITY.register, "a").fields["religion"] == "không"
    assert reader.subject(RESIDENT, "a")[0].fields["religion"] == "không"
    assert reader.rows(IDENTITY.register)["religion"].to_list() == ["không"]


def test_reader_that_is_open_sees_a_narrower_table(place):
    store = place.open()
    reader = place.reader()
    filled(store, upsert("a", 1, **FULL_STATE))
    reader.get(IDENTITY.register, "a")
    fewer = {name: IDENTITY.columns[name] for name in ("personal_id", "full_name")}
    narrow = replace(IDENTITY, columns=fewer, fingerprint="identity-0")
    store.open([narrow])
    filled(store, upsert("a", 2, full_name="An"), table=narrow)
    assert reader.get(IDENTITY.register, "a").fields == {"personal_id": "a", "full_name": "An"}
    assert [row.version for row in reader.subject(RESIDENT, "a")] == [2]
    assert reader.rows(IDENTITY.register)["version"].to_list() == [2]


def test_unknown_register_and_kind_are_told(store):
    for ask in (store.status, store.table, store.rows, store.begin_fill):
        with pytest.raises(RegisterUnknown, match=r"resident\.nothing"):
            ask(RegisterName("resident.nothing"))
    with pytest.raises(RegisterUnknown, match="tree"):
        store.subject(SubjectKind("tree"), "a")


def test_subject_unites_its_registers_and_a_merged_one_is_a_pointer(store):
    Owner(store).send(upsert("a", 1), upsert("b", 1), merge("old", 2, "a"))
    Owner(store, RESIDENCE).send(upsert("a", 3, ward_code="26737"), upsert("old", 1, ward_code="26740"))
    found = store.subject(RESIDENT, "a")
    assert [(row.register, row.key, row.version) for row in found] == [
        (IDENTITY.register, "a", 1),
        (RESIDENCE.register, "a", 3),
    ]
    assert [row.replaced_by for row in store.subject(RESIDENT, "old")] == ["a", None]
    assert store.subject(RESIDENT, "nobody") == []


def test_subject_is_found_by_its_key_in_registers_with_another_key(store):
    filled(store, upsert("0300588569", 1, name="Công ty"), table=REGISTRATION)
    filled(
        store,
        upsert("0300588569", 1, enterprise_code="0300588569", tax_status="active"),
        upsert("0300588569-001", 1, enterprise_code="0300588569", tax_status="closed"),
        upsert("0100233488", 1, enterprise_code="0100233488", tax_status="active"),
        merge("0314409058", 1, "0100233488"),
        table=TAX,
    )
    found = store.subject(BUSINESS, "0300588569")
    assert [(row.register, row.key) for row in found] == [
        (REGISTRATION.register, "0300588569"),
        (TAX.register, "0300588569"),
        (TAX.register, "0300588569-001"),
    ]


def test_view_unites_registers_and_leaves_merged_rows_out(database):
    store = database.open()
    filled(store, upsert("a", 1, full_name="An"), upsert("b", 2), merge("old", 2, "a"))
    owner = filled(store, upsert("a", 3, ward_code="26737"), upsert("c", 4, ward_code="26740"), table=RESIDENCE)
    ask = (
        "SELECT personal_id, identity_full_name, identity_version, identity_source, residence_ward_code, "
        "residence_version FROM resident ORDER BY personal_id"
    )
    assert database.sql(ask) == [
        ("a", "An", 1, "H29.5", "26737", 3),
        ("b", None, 2, "H29.5", None, None),
        ("c", None, None, None, "26740", 4),
    ]
    filled(store, upsert("a", 5, full_name="Ân"))
    owner = Owner(store, RESIDENCE)
    owner.send(delete("c", 5))
    assert [row[:3] for row in database.sql(ask)] == [("a", "Ân", 5)]


def test_view_joins_on_the_subject_key(database):
    store = database.open()
    filled(store, upsert("0300588569", 1, name="Công ty"), table=REGISTRATION)
    filled(
        store,
        upsert("0300588569-001", 1, enterprise_code="0300588569", tax_status="closed"),
        upsert("079085000001", 1, tax_status="active"),
        table=TAX,
    )
    ask = "SELECT enterprise_code, registration_name, tax_tax_id, tax_tax_status FROM business"
    assert database.sql(ask) == [("0300588569", "Công ty", "0300588569-001", "closed")]


def test_view_gains_a_new_column_and_registers_opened_by_others(database):
    first = database.open([IDENTITY])
    first.close()
    second = database.open([RESIDENCE])
    filled(second, upsert("a", 1, ward_code="26737"), table=RESIDENCE)
    second.close()
    third = database.open(
        [replace(IDENTITY, columns={**IDENTITY.columns, "religion": pl.String()}, fingerprint="identity-2")]
    )
    ask = "SELECT personal_id, identity_religion, residence_ward_code FROM resident"
    assert database.sql(ask) == [("a", None, "26737")]
    third.close()


def test_lookups_never_see_half_a_batch_or_an_empty_table_while_a_swap_goes_on(database):
    store = database.open()
    keys = [f"k{n}" for n in range(50)]
    filled(store, *(upsert(key, 1) for key in keys))
    reader = database.reader()
    wrong, done = [], threading.Event()

    def look() -> None:
        while not done.is_set():
            found = held(reader)
            if len(found) != 50 or len(set(found.values())) != 1:
                wrong.append(found)
            if reader.get(IDENTITY.register, "k7") is None or not reader.subject(RESIDENT, "k7"):
                wrong.append({})

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for version in range(2, 12, 2):
            shadow_first = [upsert(key, version - 1) for key in keys[:9]]
            store.begin_fill(IDENTITY.register)
            shadow = Owner(store, slot=Slot.SHADOW)
            shadow.send(*shadow_first)
            shadow.send(*(upsert(key, version) for key in keys))
            store.finish_fill(IDENTITY.register)
            Owner(store).send(*(upsert(key, version + 1) for key in keys))
    finally:
        done.set()
        thread.join()
    assert wrong == []


def test_reader_of_nothing_says_that_there_is_no_replica_yet(database):
    with pytest.raises(DatabaseUnavailable, match="no replica yet"):
        database.reader()
