"""A writer that dies anywhere leaves all of a call's work, or none."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from bus.errors import DatabaseUnavailable
from consumers.stores import open_store
from consumers.stores.model import Outcome, Replay, Slot
from consumers.stores.postgres.writing import Writing
from consumers.stores.sqlite import file as sqlite_file
from tests.contract.stores.building import ALL, IDENTITY, Owner, delete, filled, frame, parked, upsert

REGISTER = IDENTITY.register
BATCH = [*(upsert(f"k{n:03d}", 2) for n in range(120)), delete("gone", 2)]
CALLS = ("apply", "fill", "begin_fill", "finish_fill", "claim", "replay", "dismiss")


def prepared(store, what):
    """A ready register, a shadow half filled, and the owners of both."""
    live = filled(store, upsert("k000", 1), upsert("gone", 1))
    live.send(parked=[parked(n) for n in range(90, 94)])
    if what == "replay":  # refused while a shadow fills
        return live, None
    store.begin_fill(REGISTER)
    shadow = Owner(store, slot=Slot.SHADOW)
    shadow.send(upsert("k000", 2), upsert("k000", 3), upsert("gone", 1))
    shadow.send(delete("gone", 2), upsert("k000", 1))
    return live, shadow


def call(what, store, live, shadow):
    if what == "apply":
        store.apply(live.batch(*BATCH, parked=[parked(1)], counts={"superseded": 3}))
    elif what == "fill":
        store.fill(shadow.batch(*BATCH, parked=[parked(1)], counts={"superseded": 3}))
    elif what == "claim":
        live.claim()
    elif what == "replay":
        settled, standing = [parked(n).origin for n in (90, 91, 92)], [parked(93, reason="owner_wrong")]
        store.replay(Replay(IDENTITY, frame(IDENTITY, *BATCH), settled, standing))
    elif what == "dismiss":
        store.dismiss([parked(90).origin, parked(91).origin])
    else:
        getattr(store, what)(REGISTER)


def seen(store):
    """Everything that a call can change."""
    rows = store.rows(REGISTER)
    return (
        list(zip(rows["key"], rows["version"], strict=True)),
        {slot: dict(store.positions(REGISTER, slot)) for slot in Slot},
        store.counters(REGISTER),
        store.status(REGISTER),
        [(change.key, change.version) for change in store.changes(None, 1000)],
        [(each, each.replays) for each in store.parked()],
    )


@pytest.mark.parametrize("what", CALLS)
def test_sqlite_file_as_it_is_before_any_statement_is_whole(tmp_path, what):
    path = tmp_path / "replica.db"
    copies = []

    def copy(_statement):
        folder = tmp_path / str(len(copies))
        folder.mkdir()
        for each in (path, path.with_name("replica.db-wal")):
            shutil.copy(each, folder)
        copies.append(folder / "replica.db")

    with open_store(f"sqlite:///{path}") as store:
        store.open(ALL)
        owners = prepared(store, what)
        before = seen(store)
        store._held.set_trace_callback(copy)
        call(what, store, *owners)
        store._held.set_trace_callback(None)
        after = seen(store)
    assert len(copies) > 3
    assert before != after
    for each in copies:
        with open_store(f"sqlite:///{each}") as reopened:
            reopened.open(ALL)
            assert seen(reopened) == before


class Cut:
    """Cuts a process's connections to PostgreSQL before a statement."""

    def __init__(self, monkeypatch) -> None:
        self.left = 10**9
        self.count = 0
        self._execute, self._copy = psycopg.Cursor.execute, psycopg.Cursor.copy
        monkeypatch.setattr(
            psycopg.Cursor, "execute", lambda cursor, *given, **more: self.run(self._execute, cursor, *given, **more)
        )
        monkeypatch.setattr(
            psycopg.Cursor, "copy", lambda cursor, *given, **more: self.run(self._copy, cursor, *given, **more)
        )

    def run(self, work, cursor, *given, **more):
        self.count += 1
        self.left -= 1
        if self.left == 0:
            cursor.connection.pgconn.finish()
        return work(cursor, *given, **more)


@pytest.mark.parametrize("what", CALLS)
def test_postgres_connection_cut_before_any_statement_leaves_nothing_behind(postgres_database, monkeypatch, what):
    with open_store(postgres_database) as store, open_store(postgres_database) as other:
        store.open(ALL)
        other.open(ALL)
        live, shadow = prepared(store, what)
        before = seen(other)
        cut = Cut(monkeypatch)
        cuts = 0
        while True:
            cut.left = cuts + 1
            try:
                call(what, store, live, shadow)
            except DatabaseUnavailable:
                cuts += 1
                cut.left = 10**9
                assert seen(other) == before
            else:
                break
        assert cuts > 3
        cut.left = 10**9
        assert seen(other) != before


def test_commit_whose_answer_was_lost_is_found_done_when_given_again(postgres_database, monkeypatch):
    with open_store(postgres_database) as store:
        store.open(ALL)
        owner = filled(store)
        batch = owner.batch(upsert("a", 1), counts={"superseded": 1})
        commit = Writing._commit

        def commit_and_lose(writing, *given):
            commit(writing, *given)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(Writing, "_commit", commit_and_lose)
        with pytest.raises(DatabaseUnavailable):
            store.apply(batch)
        monkeypatch.setattr(Writing, "_commit", commit)
        assert store.apply(batch) == Outcome(0, 0)
        assert store.counters(REGISTER) == {"applied": 1, "superseded": 1}
        owner.claim()
        assert owner.send(upsert("a", 2)) == Outcome(1, 0)


def test_connection_ended_by_the_server_is_made_again_by_the_next_call(postgres_database):
    with open_store(postgres_database) as store:
        store.open(ALL)
        owner = filled(store, *BATCH)
        owner.send(*(upsert(f"k{n:03d}", 3) for n in range(120)))
        with psycopg.connect(postgres_database, autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lienthong'"
            )
        batch = owner.batch(*(upsert(f"k{n:03d}", 4) for n in range(120)))
        with pytest.raises(DatabaseUnavailable):
            store.apply(batch)
        assert store.apply(batch) == Outcome(120, 0)


def test_full_disk_is_told_and_waited_out(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/replica.db") as store:
        store.open(ALL)
        owner = filled(store)
        pages = store._held.execute("PRAGMA page_count").fetchone()[0]
        store._held.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(DatabaseUnavailable, match=r"replica\.db: database or disk is full"):
            owner.send(upsert("a", 1, full_name="x" * 100_000))
        assert owner.send(upsert("a", 1, full_name="x" * 100_000)) == Outcome(1, 0)


def test_file_locked_by_somebody_is_told_and_waited_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 20)
    with open_store(f"sqlite:///{tmp_path}/replica.db") as store:
        store.open(ALL)
        owner = filled(store)
        shell = sqlite3.connect(tmp_path / "replica.db", isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            owner.send(upsert("a", 1))
        shell.execute("ROLLBACK")
        shell.close()
        assert owner.send(upsert("a", 1)) == Outcome(1, 0)


KILLED = """
import os, signal, sqlite3, sys
import psycopg
from consumers.stores import open_store
from tests.contract.stores.building import ALL
from tests.contract.stores.test_crashes import Owner, Slot, call

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

store = open_store(sys.argv[1])
store.open(ALL)
live, shadow = Owner(store), Owner(store, slot=Slot.SHADOW)
print("ready", flush=True)
if sys.argv[1].startswith("sqlite"):
    store._held.set_trace_callback(lambda statement: statement == "COMMIT" and die())
else:
    execute = psycopg.Cursor.execute
    psycopg.Cursor.execute = lambda cursor, query, *given, **more: (
        die() if query == "COMMIT" else execute(cursor, query, *given, **more)
    )
call(sys.argv[2], store, live, shadow)
"""


@pytest.mark.parametrize("what", ["apply", "finish_fill"])
def test_process_killed_before_its_commit_leaves_nothing_behind(database, what):
    store = database.open()
    prepared(store, what)
    store.close()
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, database.url, what], env=environment, capture_output=True, text=True, check=False
    )
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "ready\n"), killed.stderr
    store = database.open()
    assert store.get(REGISTER, "k000").version == 1
    assert store.status(REGISTER).generation == 1
    assert store.status(REGISTER).filling
    live, shadow = Owner(store), Owner(store, slot=Slot.SHADOW)
    assert (live.offset, shadow.offset) == (3, 5)
    call(what, store, live, shadow)
    assert store.get(REGISTER, "k000").version == (2 if what == "apply" else 3)
    assert store.get(REGISTER, "gone") is None
