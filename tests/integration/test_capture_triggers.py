"""Triggers on an agency's table, their outbox, and the relay, against a real PostgreSQL and Kafka."""

import asyncio
import random
import threading
import tomllib
from dataclasses import replace
from itertools import pairwise

import psycopg
import pytest

from bus.errors import ConfigInvalid
from bus.event import Op
from bus.schema import load_register
from producers.capture.install import install, plan, uninstall
from producers.mapping import Mapping
from producers.outbox.database import engine_for
from tests.capture import TABLE, ask, made, people, table, take, topic
from tests.outbox import relay_all
from tests.producing import IDENTITY, prepare


@pytest.fixture
def bus(kafka, topic_prefix):
    asyncio.run(prepare(kafka, topic_prefix))
    return kafka, topic_prefix


@pytest.fixture
def engine(postgres_database):
    made = engine_for(postgres_database)
    yield made
    made.dispose()


def run(url, *statements):
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def queued(url):
    with psycopg.connect(url) as connection:
        query = "SELECT type, aggregateid FROM lienthong_outbox ORDER BY version, seq"
        return [(kind, key[-3:]) for kind, key in connection.execute(query)]


def test_inserts_updates_deletes_and_key_changes_arrive_cleaned(bus, postgres_database):
    url = postgres_database
    made(url, bus[1])
    run(
        url,
        "SET datestyle = 'SQL, DMY'",
        "INSERT INTO persons VALUES (1, '079 085 000 001', ' Nguyễn  Văn', 'Mẫu', '1985-03-12', 1)",
        "INSERT INTO persons VALUES (2, '079085000002', 'Trần Văn', 'Mẫu', '1985-03-12', 1)"
        ", (3, NULL, 'Lê', 'Mẫu', NULL, NULL)",
        "UPDATE persons SET ten = 'Đổi' WHERE id = 2",
        "UPDATE persons SET cccd = '079085000001' WHERE id = 1",
        "UPDATE persons SET cccd = '079085000009' WHERE id = 2",
        "INSERT INTO persons VALUES (4, '079085000004', 'Võ Văn', 'Mẫu', '1985-03-12', 1)",
        "DELETE FROM persons WHERE id IN (3, 4)",
    )
    relay_all(*bus, url)
    last, found = topic(*bus)
    assert last == {"079085000001": "Nguyễn Văn Mẫu", "079085000009": "Trần Văn Đổi"}
    assert [event.op for event in found if event.key == "079085000001"] == [Op.UPSERT, Op.DELETE, Op.UPSERT]
    assert [event.op for event in found if event.key == "079085000004"] == [Op.UPSERT, Op.DELETE]


def test_update_of_columns_that_no_field_is_made_of_enqueues_nothing(postgres_database):
    made(postgres_database, rows=2)
    run(postgres_database, "UPDATE persons SET ghi_chu = 'x'", "UPDATE persons SET ten = ten")
    assert queued(postgres_database) == []


def test_row_that_breaks_a_rule_is_parked_with_its_reason_and_the_next_go_on(bus, postgres_database):
    url = postgres_database
    made(url, bus[1])
    run(url, "INSERT INTO persons VALUES (1, '079085000001', 'Trần', 'Mẫu', '1985-03-12', 7)")
    with psycopg.connect(url) as connection:
        people(connection, range(2, 4))
    relay_all(*bus, url)
    assert set(topic(*bus)[0]) == {"079085000002", "079085000003"}
    with psycopg.connect(url) as connection:
        (reason,) = connection.execute("SELECT parked FROM lienthong_outbox WHERE parked IS NOT NULL").fetchone()
    assert reason.startswith("resident.identity: sex: ")


def test_user_without_rights_on_the_outbox_may_write_the_table(postgres_database):
    made(postgres_database)
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE ROLE clerk")
        connection.execute("GRANT INSERT ON persons TO clerk")
        connection.execute("SET ROLE clerk")
        people(connection, range(1, 2))
        connection.execute("RESET ROLE")
        assert connection.execute("SELECT count(*) FROM lienthong_outbox").fetchone() == (1,)
        connection.execute("DROP OWNED BY clerk")
        connection.execute("DROP ROLE clerk")


def test_truncate_is_refused_with_the_remedy_or_deletes_each_subject(postgres_database, engine):
    url = postgres_database
    made(url, rows=2)
    with pytest.raises(psycopg.errors.FeatureNotSupported, match=r"TRUNCATE of persons is refused.*\n.*DELETE"):
        run(url, "TRUNCATE persons")
    install(engine, ask(on_truncate="delete"))
    run(url, "TRUNCATE persons")
    assert queued(url) == [("DELETE", "001"), ("DELETE", "002")]


def test_installing_again_changes_nothing_and_uninstalling_leaves_nothing(postgres_database, engine):
    run(postgres_database, TABLE)
    planned = plan(engine, ask())
    assert install(engine, ask()) == planned
    assert (plan(engine, ask()), install(engine, ask())) == ([], [])
    assert any("DROP TABLE lienthong_capture" in statement for statement in uninstall(engine, "persons"))
    run(postgres_database, "INSERT INTO persons VALUES (1, '1', 'a', 'b')")
    with psycopg.connect(postgres_database) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'persons'::regclass AND NOT tgisinternal"
        )
        assert left.fetchone() == (0,)
        left = connection.execute("SELECT count(*) FROM pg_proc WHERE proname ~ 'lienthong_(capture|truncate)'")
        assert left.fetchone() == (0,)


def test_changed_mapping_is_for_new_rows_and_those_that_wait_keep_theirs(bus, postgres_database, engine):
    url = postgres_database
    made(url, bus[1])
    with psycopg.connect(url) as connection:
        people(connection, range(1, 2))
    text = ask(bus[1]).mapping.text.replace('["ho", "ten"]', '"ten"')
    mapping = Mapping.of(tomllib.loads(text), load_register(IDENTITY)[-1])
    install(engine, ask(bus[1], mapping=replace(mapping, text=text)))
    with psycopg.connect(url) as connection:
        people(connection, range(2, 3))
    relay_all(*bus, url)
    assert topic(*bus)[0] == {"079085000001": "Nguyễn Văn Mẫu", "079085000002": "Mẫu"}


def test_programs_go_on_writing_when_a_column_was_renamed_and_what_they_write_is_parked(bus, postgres_database, engine):
    url = postgres_database
    made(url, bus[1])
    run(url, "ALTER TABLE persons RENAME gioi_tinh TO gt")
    run(url, "INSERT INTO persons VALUES (1, '079085000001', 'Nguyễn', 'Mẫu', '1985-03-12', 1)")
    run(url, "ALTER TABLE persons RENAME cccd TO so")
    run(url, "UPDATE persons SET so = '079085000002'")
    relay_all(*bus, url)
    with psycopg.connect(url) as connection:
        told = connection.execute("SELECT parked FROM lienthong_outbox ORDER BY seq").fetchall()
    assert ["gioi_tinh" in told[0][0], "cccd" in told[1][0]] == [True, True]
    uninstall(engine, "persons")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('lienthong_capture')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("given", "statement", "told"),
    [
        ({"table": "person"}, "SELECT", "no such table; the nearest is persons"),
        ({}, "ALTER TABLE persons DROP CONSTRAINT persons_pkey", "has no primary key; add one"),
        (
            {},
            "ALTER TABLE persons DROP CONSTRAINT persons_cccd_key",
            "cccd makes the key personal_id and is not unique",
        ),
        ({}, "ALTER TABLE persons DROP COLUMN gioi_tinh", "persons has no column gioi_tinh"),
        ({"table": "seen"}, "CREATE VIEW seen AS SELECT * FROM persons", "is no table"),
    ],
)
def test_what_does_not_fit_is_told_with_its_remedy_before_anything_is_made(
    postgres_database, engine, given, statement, told
):
    run(postgres_database, TABLE, statement)
    with pytest.raises(ConfigInvalid, match=told):
        install(engine, ask(**given))
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^lienthong'").fetchone() == (0,)


def test_user_who_does_not_own_the_table_is_told_whom_to_ask(postgres_database):
    run(postgres_database, TABLE, "CREATE ROLE visitor LOGIN")
    other = engine_for(postgres_database.replace("postgres@", "visitor@"))
    try:
        with pytest.raises(ConfigInvalid, match="run as its owner"):
            install(other, ask())
        run(postgres_database, "GRANT CREATE ON SCHEMA public TO visitor")
        with pytest.raises(ConfigInvalid, match="run this as its owner, postgres"):
            install(other, ask())
    finally:
        other.dispose()
        run(postgres_database, "DROP OWNED BY visitor", "DROP ROLE visitor")


def test_snapshot_beside_writers_sends_each_row_once_and_loses_no_change(bus, postgres_database):
    url = postgres_database
    made(url, bus[1], rows=400)
    over = threading.Event()

    def write(seed):
        chance = random.Random(seed)  # noqa: S311
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.is_set():
                with connection.transaction(force_rollback=chance.random() < 0.2):
                    for _ in range(2):
                        number = chance.randint(1, 400)
                        if chance.random() < 0.1:
                            connection.execute("DELETE FROM persons WHERE id = %s", (number,))
                        connection.execute(
                            "UPDATE persons SET ten = %s WHERE id = %s", (chance.choice("ABCDĐE"), number)
                        )

    threads = [threading.Thread(target=tolerant, args=(write, seed)) for seed in range(2)]
    for thread in threads:
        thread.start()
    assert take(url, bus[1], rows=20)[0] <= 400
    over.set()
    for thread in threads:
        thread.join()
    relay_all(*bus, url)
    last, found = topic(*bus)
    assert last == table(url)
    for key in {event.key for event in found}:
        states = [event.state for event in found if event.key == key]
        assert all(one != next_one for one, next_one in pairwise(states))
    assert take(url, bus[1]) == take(url, bus[1])


def tolerant(write, seed):
    """Two writers of two people each may wait for each other: that is theirs to run again."""
    while True:
        try:
            write(seed)
        except psycopg.errors.DeadlockDetected:
            continue
        return
