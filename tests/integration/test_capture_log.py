"""A table followed by PostgreSQL's log, against a real PostgreSQL and Kafka."""

import asyncio
import random
import threading
from contextlib import closing
from itertools import pairwise

import psycopg
import pytest
from structlog.testing import capture_logs

from bus.errors import ConfigInvalid, ConfirmationNeeded, DatabaseUnavailable, Fenced, LagExceeded
from bus.event import Op
from producers.capture.follow.place import TAKEN_OVER, Place
from producers.capture.follow.slot import Slot
from producers.capture.install import captures, install, plan, uninstall
from producers.capture.publication import evict
from producers.capture.status import status_of
from producers.outbox.database import engine_for
from producers.outbox.relay.lease import Lease
from producers.outbox.relay.turn import Turn
from tests.capture import TABLE, ask, follow_all, follow_settings, made, people, table, topic
from tests.producing import prepare


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


def test_table_and_then_its_changes_arrive_each_once(bus, postgres_database, engine):
    url = postgres_database
    made(url, bus[1], rows=5, way="log")
    run(url, "UPDATE persons SET ten = 'Đổi' WHERE id = 2", "DELETE FROM persons WHERE id = 3")
    follow_all(*bus, url)
    assert topic(*bus)[0] == table(url)
    assert len(topic(*bus)[1]) == 4
    run(
        url,
        "UPDATE persons SET cccd = '079 085 000 009', ghi_chu = repeat('x', 100000) WHERE id = 1",
        "UPDATE persons SET ten = 'Dài ' || repeat('Mẫu ', 20) WHERE id = 4",
        "UPDATE persons SET ghi_chu = 'x' WHERE id = 5",
        "UPDATE persons SET cccd = NULL WHERE id = 2",
        "INSERT INTO persons VALUES (6, '079085000003', 'Trần', 'Mẫu', '1985-03-12', 7)",
    )
    follow_all(*bus, url)
    last, found = topic(*bus)
    assert [event.op for event in found if event.key == "079085000001"] == [Op.UPSERT, Op.DELETE]
    assert [event.op for event in found if event.key == "079085000002"] == [Op.UPSERT, Op.DELETE]
    assert set(last) == {"079085000004", "079085000005", "079085000009"}
    (status,) = status_of(engine)
    assert (status["snapshot"], status["unsent"], status["parked"]) == ("done", 0, 1)
    assert status["slot"]["lag_bytes"] < 1_000_000
    run(url, "UPDATE persons SET gioi_tinh = 1 WHERE id = 6")
    follow_all(*bus, url)
    assert "079085000003" in topic(*bus)[0]


def test_snapshot_beside_writers_meets_the_log_without_a_gap_or_a_double(bus, postgres_database):
    url = postgres_database
    made(url, bus[1], rows=300, way="log")
    over = threading.Event()

    def write():
        chance = random.Random(2)  # noqa: S311
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(600):
                if over.is_set():
                    return
                with connection.transaction(force_rollback=chance.random() < 0.2):
                    number, name = chance.randint(1, 300), chance.choice("ABCDĐE")
                    connection.execute("UPDATE persons SET ten = %s WHERE id = %s", (name, number))

    writer = threading.Thread(target=write)
    writer.start()
    follow_all(*bus, url, snapshot_rows=50, transaction_rows=50)
    over.set()
    writer.join()
    follow_all(*bus, url)
    last, found = topic(*bus)
    assert last == table(url)
    for key in {event.key for event in found}:
        states = [event.state for event in found if event.key == key]
        assert all(one != next_one for one, next_one in pairwise(states))


def test_installing_again_changes_nothing_and_uninstalling_leaves_nothing(postgres_database, engine):
    run(postgres_database, TABLE)
    assert install(engine, ask(way="log"))
    assert (plan(engine, ask(way="log")), install(engine, ask(way="log"))) == ([], [])
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="TRUNCATE"):
        run(postgres_database, "TRUNCATE persons")
    uninstall(engine, "persons")
    with psycopg.connect(postgres_database) as connection:
        query = """SELECT (SELECT count(*) FROM pg_publication), (SELECT relreplident FROM pg_class WHERE relname = 'persons'),
          (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()),
          (SELECT count(*) FROM pg_trigger WHERE tgname ~ 'lienthong_(capture|truncate)')"""
        assert connection.execute(query).fetchone() == (0, "d", 0, 0)


def test_slot_that_keeps_too_much_stops_the_follower_or_is_dropped_and_read_afresh(bus, postgres_database, engine):
    url = postgres_database
    made(url, bus[1], rows=3, way="log")
    with pytest.raises(LagExceeded, match="--max-lag-bytes"):
        follow_all("127.0.0.1:1", bus[1], url, max_lag_bytes=1)  # whether or not Kafka is there
    with pytest.raises(LagExceeded, match="is dropped"):
        follow_all(*bus, url, max_lag_bytes=1, when_full="drop")
    with pytest.raises(ConfigInvalid, match="capture install"):
        follow_all(*bus, url)
    install(engine, ask(bus[1], way="log"))
    follow_all(*bus, url)
    assert topic(*bus)[0] == table(url)


def test_slot_that_keeps_half_of_what_it_may_is_warned_of_and_followed(bus, postgres_database):
    url = postgres_database
    made(url, bus[1], rows=3, way="log")
    run(url, "SELECT pg_logical_emit_message(false, 'lienthong', repeat('x', 1000000), true)")
    with capture_logs() as told:
        follow_all(*bus, url, max_lag_bytes=1_500_000)
    assert [each["slot"][:10] for each in told if each["event"] == "capture_slot_lags"] == ["lienthong_"]
    assert topic(*bus)[0] == table(url)


def test_table_whose_log_lacks_old_rows_is_told(bus, postgres_database):
    url = postgres_database
    made(url, bus[1], way="log")
    run(url, "ALTER TABLE persons REPLICA IDENTITY DEFAULT")
    with psycopg.connect(url) as connection:
        people(connection, range(1, 2))
    with pytest.raises(ConfigInvalid, match="REPLICA IDENTITY is not FULL"):
        follow_all(*bus, url)


def test_who_was_deleted_while_nobody_followed_is_found_when_the_table_is_read_afresh(bus, postgres_database, engine):
    url = postgres_database
    made(url, bus[1], rows=10, way="log")
    follow_all(*bus, url)
    lose_slot(url)
    with pytest.raises(ConfigInvalid, match="lost its log; run: lienthong capture install"):
        follow_all(*bus, url)
    run(
        url,
        "DELETE FROM persons WHERE id = 1",
        "UPDATE persons SET cccd = '079085000099' WHERE id = 2",
        "UPDATE persons SET cccd = '079 085 000 003' WHERE id = 3",
        "UPDATE persons SET gioi_tinh = 7 WHERE id = 4",
    )
    install(engine, ask(bus[1], way="log"))
    run(url, "DELETE FROM persons WHERE id = 10")  # in the log already, and read as gone
    with pytest.raises(ConfirmationNeeded, match=r"3 of 10 published subjects .* \(30%, more than 20%\)") as refused:
        follow_all(*bus, url)
    assert "--confirm-deletes" in str(refused.value)
    run(url, "DELETE FROM persons WHERE id = 9")  # after it was read
    follow_all(*bus, url, confirm_deletes=True)
    last, found = topic(*bus)
    assert last == table(url)  # with the row that is refused now: its last state stands
    gone = [event.key for event in found if event.op is Op.DELETE]
    assert sorted(gone) == ["079085000001", "079085000002", "079085000009", "079085000010"]


@pytest.mark.parametrize(
    ("settings", "statement"),
    [
        ({"confirm_deletes": False}, "SELECT"),
        ({}, "INSERT INTO persons VALUES (99, '0790850', 'Trần', 'Mẫu', '1985-03-12', 1)"),
    ],
)
def test_nobody_is_deleted_where_the_table_holds_some_subjects_only_or_a_key_cannot_be_trusted(
    bus, postgres_database, engine, settings, statement
):
    url = postgres_database
    made(url, bus[1], rows=6, way="log")
    follow_all(*bus, url)
    uninstall(engine, "persons")
    run(url, "DELETE FROM persons WHERE id = 1", statement)
    install(engine, ask(bus[1], way="log"))
    follow_all(*bus, url, **settings)
    assert "079085000001" in topic(*bus)[0]


def read_on(stream):
    while True:
        list(stream.read(0.1))


@pytest.mark.parametrize("owner", ["another", None])
def test_stream_that_a_later_follower_has_put_out_is_told_as_being_fenced(postgres_database, engine, owner):
    made(postgres_database, way="log")
    turn = Turn(Lease(engine, "resident.identity", 0, 1, seconds=60), "capture", TAKEN_OVER)
    told = pytest.raises(Fenced) if owner else pytest.raises(DatabaseUnavailable)
    with told, turn.taken(threading.Event()) as held, turn.doubting_outages():
        assert held is not None
        if owner:
            run(postgres_database, f"UPDATE lienthong_relay SET owner = '{owner}'")
        raise DatabaseUnavailable("the replication connection has ended")


def lose_slot(url):
    """As a server does that may keep so much for it, and no more."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            for _ in range(3):
                connection.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
            connection.execute("CHECKPOINT")
            query = "SELECT wal_status FROM pg_replication_slots WHERE database = current_database()"
            assert connection.execute(query).fetchall() == [("lost",)]
        finally:
            connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            connection.execute("SELECT pg_reload_conf()")


def test_stream_that_was_cut_off_says_so_whatever_is_asked_of_it(postgres_database, engine):
    url = postgres_database
    made(url, way="log")
    (capture,) = captures(engine, "persons", "log")
    with closing(Slot(engine, follow_settings("", "city", url)).open(capture, Place(), threading.Event())) as stream:
        list(stream.read(0))
        with engine.begin() as connection:
            evict(connection, capture.id)
        with pytest.raises(DatabaseUnavailable):
            read_on(stream)
        for ask_again in (lambda: list(stream.read(0)), lambda: stream.confirm(1)):
            with pytest.raises(DatabaseUnavailable):
                ask_again()
