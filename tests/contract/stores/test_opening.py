"""What a person who names a wrong database is told: one line, without a secret."""

import sqlite3
import sys
from dataclasses import replace

import polars as pl
import psycopg
import pytest

from bus.errors import ConfigInvalid, DatabaseUnavailable, PathUnwritable
from consumers.stores import open_reader, open_store
from tests.contract.stores.building import ALL, IDENTITY, Owner, filled, held, upsert


def refusal(url, error, tables=ALL):
    """The one line that is told."""
    with pytest.raises(error) as refused:
        open_and_close(url, tables)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def open_and_close(url, tables):
    store = open_store(url)
    try:
        store.open(tables)
    finally:
        store.close()


@pytest.mark.parametrize(
    "url", ["", "replica.db", "sqlite://replica.db", "sqlite:///", "sqlite:///:memory:", "mysql://me:geheim@host/x"]
)
def test_url_of_another_form_is_refused_with_the_forms_there_are(url):
    for opened in (open_store, open_reader):
        with pytest.raises(ConfigInvalid, match=r"sqlite:///file.*postgresql://user@host/database") as refused:
            opened(url)
        assert "geheim" not in str(refused.value)


def test_postgres_url_that_does_not_parse_is_refused_without_its_password():
    told = refusal("postgresql://me:geheim@host:port:port/x?what=1", ConfigInvalid)
    assert "geheim" not in told


def test_missing_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigInvalid, match=r"pip install 'lienthong\[postgres\]'"):
        open_store("postgresql://nobody@localhost/x")


def test_opening_again_changes_nothing(place):
    store = place.open()
    filled(store, upsert("a", 1))
    store.open(ALL)
    store.open(ALL[:1])
    assert held(store) == {"a": 1}


def test_folder_that_cannot_be_written_is_named(tmp_path):
    assert str(tmp_path / "no" / "replica.db") in refusal(f"sqlite:///{tmp_path}/no/replica.db", PathUnwritable)
    (tmp_path / "file").write_text("")
    assert "file/replica.db" in refusal(f"sqlite:///{tmp_path}/file/replica.db", PathUnwritable)
    (tmp_path / "folder").mkdir()
    assert "folder" in refusal(f"sqlite:///{tmp_path}/folder", PathUnwritable)


def test_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("Kính gửi Ủy ban nhân dân phường " * 100)
    assert "letter.txt" in refusal(f"sqlite:///{tmp_path}/letter.txt", ConfigInvalid)
    assert (tmp_path / "letter.txt").read_text().startswith("Kính gửi")
    with pytest.raises(ConfigInvalid, match=r"letter\.txt"):
        open_reader(f"sqlite:///{tmp_path}/letter.txt")


def test_file_of_another_program_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE resident_identity (x)")
    connection.close()
    assert "another program" in refusal(f"sqlite:///{tmp_path}/other.db", ConfigInvalid)
    with pytest.raises(ConfigInvalid, match="another program"):
        open_reader(f"sqlite:///{tmp_path}/other.db")


def test_database_with_a_table_of_anothers_is_refused_and_left_as_it_was(postgres_database):
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("CREATE TABLE resident_identity (x text)")
        assert "resident_identity" in refusal(postgres_database, ConfigInvalid)
        assert admin.execute("SELECT to_regclass('_lienthong_meta')::text").fetchone() == (None,)


def test_database_with_a_table_named_like_a_subject_is_refused(postgres_database):
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("CREATE TABLE resident (x text)")
    assert '"resident" is not a view' in refusal(postgres_database, ConfigInvalid)


def test_database_with_other_tables_is_shared(postgres_database):
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("CREATE TABLE citizens (x text)")
    with open_store(postgres_database) as store:
        store.open(ALL)


def test_newer_layout_is_refused(database):
    database.open().close()
    statement = "PRAGMA user_version = 7"
    if database.kind == "postgres":
        statement = "UPDATE _lienthong_meta SET value = '7' WHERE name = 'layout'"
    database.sql(statement)
    assert "layout 7" in refusal(database.url, ConfigInvalid)
    with pytest.raises(ConfigInvalid, match="layout 7"):
        open_reader(database.url)


def test_column_of_another_type_is_refused(database):
    database.open().close()
    other = replace(IDENTITY, columns={**IDENTITY.columns, "children": pl.String()}, fingerprint="other")
    told = refusal(database.url, ConfigInvalid, [other])
    assert "resident.identity" in told
    assert "children" in told


def test_another_key_is_refused(database):
    database.open().close()
    other = replace(IDENTITY, key_field="full_name", subject_key="full_name", fingerprint="other")
    assert "another key" in refusal(database.url, ConfigInvalid, [other])


def test_names_that_a_database_would_cut_are_refused(place):
    long = replace(IDENTITY, columns={**IDENTITY.columns, "x" * 60: pl.String()})
    with pytest.raises(ConfigInvalid, match="longer than 63 bytes"):
        place.open([long])


def test_server_that_is_away_is_told_as_such():
    assert "127.0.0.1" in refusal("postgresql://me:geheim@127.0.0.1:1/x", DatabaseUnavailable)
    with pytest.raises(DatabaseUnavailable) as refused:
        open_reader("postgresql://me:geheim@127.0.0.1:1/x")
    assert "geheim" not in str(refused.value)


def test_wrong_role_and_wrong_database_are_the_users_to_correct(postgres_url):
    server = postgres_url.rsplit("/", 1)[0]
    assert "no_such_database" in refusal(f"{server}/no_such_database", ConfigInvalid)
    told = refusal(f"{server.replace('postgres@', 'no_such_role:geheim@')}/postgres", ConfigInvalid)
    assert "no_such_role" in told
    assert "geheim" not in told


def test_role_that_may_not_make_tables_is_told_what_it_lacks(postgres_database):
    role = f"clerk_{postgres_database.rsplit('/', 1)[1]}"
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN")
        told = refusal(postgres_database.replace("postgres@", f"{role}@"), ConfigInvalid)
        assert "permission denied for schema public" in told
        admin.execute(f"DROP ROLE {role}")


def test_whole_database_can_live_in_a_schema_of_its_own(postgres_database):
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA replica")
    url = f"{postgres_database}?options=-csearch_path%3Dreplica"
    with open_store(url) as store:
        store.open(ALL)
        filled(store, upsert("a", 1))
        Owner(store).send(*(upsert(f"k{n}", 1) for n in range(100)))
        with open_reader(url) as reader:
            assert len(held(reader)) == 101
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        found = admin.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchone()
        assert found == (0,)
