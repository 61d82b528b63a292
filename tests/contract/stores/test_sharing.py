"""Several at one database: daemons and readers on PostgreSQL, one writer and its readers on SQLite."""

import shutil
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import polars as pl
import psycopg
import pytest

from bus.errors import ConfigInvalid, DatabaseUnavailable, Fenced
from consumers.stores import open_reader, open_store
from consumers.stores.model import Outcome, Slot
from consumers.stores.postgres import session
from consumers.stores.postgres.writing import Writing
from tests.contract.stores.building import ALL, IDENTITY, RESIDENCE, Owner, filled, held, parked, upsert

REGISTER = IDENTITY.register


@pytest.fixture
def two(postgres_database):
    """Two daemons' stores on one database."""
    with open_store(postgres_database) as one, open_store(postgres_database) as other:
        one.open(ALL)
        other.open(ALL)
        yield one, other


def test_second_writer_of_a_file_is_refused_by_name(tmp_path):
    path = tmp_path / "replica.db"
    with open_store(f"sqlite:///{path}") as first:
        first.open(ALL)
        second = open_store(f"sqlite:///{path}")
        with pytest.raises(Fenced, match=str(path)):
            second.open(ALL)
        second.close()
        other_process = (
            "import sys; from consumers.stores import open_store; from bus.errors import Fenced\n"
            "try: open_store(sys.argv[1]).open([])\n"
            "except Fenced: print('fenced')"
        )
        done = subprocess.run(
            [sys.executable, "-c", other_process, f"sqlite:///{path}"], capture_output=True, text=True, check=True
        )
        assert done.stdout == "fenced\n"
        assert Owner(first).send(upsert("a", 1)) == Outcome(1, 0)
    with open_store(f"sqlite:///{path}") as third:
        third.open(ALL)
        assert held(third) == {"a": 1}


def test_store_that_could_not_be_opened_gives_its_lock_back(tmp_path):
    path = tmp_path / "replica.db"
    path.write_text("no database " * 1000)
    store = open_store(f"sqlite:///{path}")
    with pytest.raises(ConfigInvalid):
        store.open(ALL)
    path.unlink()
    with open_store(f"sqlite:///{path}") as other:
        other.open(ALL)


def test_file_and_what_lies_beside_it_are_for_its_owner_only(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/replica.db") as store:
        store.open(ALL)
        Owner(store).send(upsert("a", 1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("replica.db", "replica.db-wal", "replica.db-shm", "replica.db.lock"), 0o600)


def test_reader_of_a_file_needs_no_lock_and_cannot_write(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/replica.db") as store:
        store.open(ALL)
        filled(store, upsert("a", 1))
        with open_reader(f"sqlite:///{tmp_path}/replica.db") as reader:
            assert held(reader) == {"a": 1}
            with pytest.raises(DatabaseUnavailable, match="readonly"), reader._transaction("BEGIN") as connection:
                connection.execute("DELETE FROM resident_identity")
            assert held(reader) == {"a": 1}


def test_reader_of_a_database_cannot_write(two, postgres_database):
    filled(two[0], upsert("a", 1))
    with open_reader(postgres_database) as reader:
        with pytest.raises(DatabaseUnavailable, match="read-only"), reader._session.connected() as connection:
            connection.execute("DELETE FROM resident_identity")
        assert held(reader) == {"a": 1}


def test_numbers_of_the_feed_that_a_power_cut_took_back_are_never_given_again(tmp_path):
    path = tmp_path / "replica.db"
    with open_store(f"sqlite:///{path}") as store:
        store.open(ALL)
        owner = filled(store)
        store._held.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        owner.send(upsert("lost 1", 1))
        owner.send(upsert("lost 2", 1))
        cursor = store.latest_cursor()
        (tmp_path / "after").mkdir()
        shutil.copy(path, tmp_path / "after")
    with open_store(f"sqlite:///{tmp_path}/after/replica.db") as store:
        store.open(ALL)
        owner = Owner(store)
        owner.send(upsert("lost 2", 1))
        owner.send(upsert("lost 1", 1))
        assert [change.key for change in store.changes(cursor, 10)] == ["lost 2", "lost 1"]


def test_daemons_write_one_register_side_by_side(two):
    filled(two[0])
    owners = [Owner(store, partition=number) for number, store in enumerate(two)]

    def work(owner):
        for n in range(20):
            events = [upsert(f"{owner.partition}-{n}-{m}", 1) for m in range(60 if n % 2 else 1)]
            place = parked(n, partition=owner.partition)
            owner.send(*events, upsert(f"{owner.partition}", n + 1), counts={"superseded": 1}, parked=[place])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, owners))
    one, _ = two
    assert len(held(one)) == 2 * (10 * 60 + 10 + 1)
    assert one.counters(REGISTER) == {"applied": 2 * (610 + 20), "superseded": 40, "parked": 40}
    assert len(one.changes(None, 10_000)) == 2 * 630
    assert {at.partition: each.next_offset for at, each in one.positions(REGISTER, Slot.LIVE).items()} == {
        0: 631,
        1: 630,
    }


def test_daemons_fill_one_shadow_side_by_side(two):
    one, other = two
    one.begin_fill(REGISTER)
    owners = [Owner(one, slot=Slot.SHADOW), Owner(other, slot=Slot.SHADOW, partition=1)]

    def work(owner):
        for n in range(10):
            owner.send(*(upsert(f"{owner.partition}-{m}", n + 1) for m in range(30)))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, owners))
    assert other.finish_fill(REGISTER) == Outcome(60, 540)
    assert set(held(one).values()) == {10}
    with pytest.raises(Fenced):
        one.finish_fill(REGISTER)


def test_owner_overtaken_by_another_daemon_is_fenced(two):
    one, other = two
    first = Owner(one)
    Owner(other)
    with pytest.raises(Fenced):
        first.send(upsert("a", 1))
    first.claim()
    assert first.send(upsert("a", 1)) == Outcome(1, 0)


@pytest.mark.parametrize("inside", ["_put", "_stage"])
def test_writer_frozen_inside_its_transaction_is_ended_by_who_waits_for_its_locks(two, monkeypatch, inside):
    one, other = two
    owner = filled(one, upsert("a", 1))
    monkeypatch.setattr(session, "SETTINGS", session.SETTINGS.replace("10s", "1s"))
    monkeypatch.setattr(session, "END_SILENT", session.END_SILENT.replace("5 s", "500 ms"))
    other._session.close()
    going_on, freezes = getattr(Writing, inside), [True]

    def freeze(writing, *given, **more):
        if freezes.pop():
            with pytest.raises(DatabaseUnavailable, match="1 frozen or cut off inside a transaction, ended"):
                Owner(other)
            Owner(other)
        return going_on(writing, *given, **more)

    monkeypatch.setattr(Writing, inside, freeze)
    with pytest.raises(DatabaseUnavailable):
        owner.send(*(upsert(f"k{n}", 2) for n in range(60)))
    monkeypatch.setattr(Writing, inside, going_on)
    with pytest.raises(Fenced):
        owner.send(upsert("a", 2))
    assert (freezes, held(one)) == ([], {"a": 1})


def test_two_claims_and_two_batches_at_once_leave_one_owner(two):
    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            owners = list(pool.map(Owner, two))
        assert owners[0].epoch != owners[1].epoch

        def attempt(owner):
            try:
                return owner.send(upsert(f"{owner.epoch}", 1))
            except Fenced:
                return None

        with ThreadPoolExecutor(2) as pool:
            assert [outcome for outcome in pool.map(attempt, owners) if outcome] == [Outcome(1, 0)]


def test_feed_waits_for_a_transaction_that_began_before_and_may_still_commit(two, postgres_database):
    one, other = two
    first = filled(one)
    cursor = one.latest_cursor()
    second = Owner(other, partition=1)
    with psycopg.connect(postgres_database) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        slow.execute(
            "INSERT INTO _lienthong_changes (register, keys, versions, recorded) "
            "VALUES ('resident.identity', '{slow}', '{1}', ARRAY[now()])"
        )
        first.send(upsert("fast", 1))
        second.send(upsert("faster", 1))
        assert one.changes(cursor, 10) == []
        later = one.latest_cursor()
        slow.commit()
    assert [change.key for change in one.changes(cursor, 10)] == ["slow", "fast", "faster"]
    assert [change.key for change in one.changes(later, 10)] == ["slow", "fast", "faster"]


def test_feed_counts_transactions_as_numbers(two, postgres_database):
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        for xid in ("100", "9", "10"):
            admin.execute(
                "INSERT INTO _lienthong_changes (xid, register, keys, versions, recorded) "
                "VALUES (%s, 'resident.identity', ARRAY[%s], '{1}', ARRAY[now()])",
                [xid, xid],
            )
    found = two[0].changes(None, 2)
    assert [change.key for change in [*found, *two[0].changes(found[-1].cursor, 2)]] == ["9", "10", "100"]


def test_finish_waits_for_a_batch_under_way(two, postgres_database):
    one, _ = two
    filled(one, upsert("a", 1))
    one.begin_fill(REGISTER)
    with psycopg.connect(postgres_database) as batch:
        batch.execute("SELECT FROM _lienthong_registers WHERE register = %s FOR SHARE", [REGISTER])
        finishing = threading.Thread(target=one.finish_fill, args=[REGISTER])
        finishing.start()
        with psycopg.connect(postgres_database, autocommit=True) as server:
            while not server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone():
                pass
        assert finishing.is_alive()
        batch.rollback()
    finishing.join()
    assert held(one) == {}


def test_other_registers_go_on_while_one_is_finished(two):
    one, other = two
    owner = filled(other, table=RESIDENCE)
    one.begin_fill(REGISTER)
    with one._transaction() as connection:
        one._lock(connection, REGISTER, "UPDATE")
        assert owner.send(upsert("a", 1, ward_code="26737")) == Outcome(1, 0)


def test_grants_and_views_of_others_outlive_swaps_and_wider_tables(postgres_database):
    with open_store(postgres_database) as store, psycopg.connect(postgres_database, autocommit=True) as admin:
        store.open(ALL)
        role = f"clerk_{postgres_database.rsplit('/', 1)[1]}"
        admin.execute(f"CREATE ROLE {role}")
        admin.execute(f"GRANT SELECT ON resident, resident_identity TO {role}")
        admin.execute("CREATE VIEW names AS SELECT identity_full_name FROM resident")
        filled(store, upsert("a", 1, full_name="An"))
        assert admin.execute("SELECT * FROM names").fetchall() == [("An",)]
        admin.execute("DROP VIEW names")
        wider = replace(IDENTITY, columns={**IDENTITY.columns, "religion": pl.String()}, fingerprint="identity-2")
        store.open([wider])
        filled(store, upsert("a", 2, full_name="An"), table=wider)
        admin.execute(f"SET ROLE {role}")
        assert admin.execute("SELECT identity_version FROM resident").fetchall() == [(2,)]
        assert admin.execute("SELECT _version FROM resident_identity").fetchall() == [(2,)]
        admin.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


def test_view_of_others_on_a_table_stops_the_swap_and_is_named(postgres_database):
    with open_store(postgres_database) as store, psycopg.connect(postgres_database, autocommit=True) as admin:
        store.open(ALL)
        admin.execute("CREATE VIEW names AS SELECT full_name FROM resident_identity")
        store.begin_fill(REGISTER)
        with pytest.raises(ConfigInvalid, match="view names depends"):
            store.finish_fill(REGISTER)
        admin.execute("DROP VIEW names")
        assert store.finish_fill(REGISTER) == Outcome(0, 0)


def test_dump_put_into_a_younger_cluster_starts_its_feed_again(postgres_database):
    with open_store(postgres_database) as store:
        store.open(ALL)
        owner = filled(store)
        owner.send(upsert("a", 1))
        with psycopg.connect(postgres_database, autocommit=True) as admin:
            admin.execute("UPDATE _lienthong_changes SET xid = '1000000000'")
        store.open(ALL)
        assert list(store.changes(None, 10)) == []
        cursor = store.latest_cursor()
        owner.send(upsert("b", 1))
        assert [change.key for change in store.changes(cursor, 10)] == ["b"]
