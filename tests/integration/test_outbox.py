"""The outbox on real databases: what commits is sent, in commit order per key, once; what does not is not."""

import asyncio
import json
import os
import random
import secrets
import signal
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pymysql
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from bus import metrics
from bus.errors import ConfigInvalid, ConfirmationNeeded, StateInvalid
from bus.event import Op
from bus.headers import read_tombstone
from bus.local.ports import free_ports
from producers.outbox.install import install, plan, uninstall
from producers.outbox.relay import lease
from producers.outbox.relay.lease import Lease
from producers.outbox.relay.pipeline import Pipeline
from producers.outbox.relay.postgres import PostgresSource
from producers.outbox.relay.relay import Relay
from producers.outbox.relay.source import Share
from tests.mariadb import SERVER, local_mariadb
from tests.outbox import command, in_version_order, installed, outbox, relay_all, relay_settings, started
from tests.producing import IDENTITY, events, person, prepare, records

SOAK_SECONDS = float(os.environ.get("LIENTHONG_SOAK_SECONDS", "2"))
"""How long eight writers write; ``make soak-adapters`` sets 60."""
FOREIGN = text(
    "INSERT INTO lienthong_outbox (id, aggregatetype, aggregateid, type, payload) VALUES (:id, :kind, :key, :type, :payload)"
)


@pytest.fixture(scope="session")
def mariadb_url():
    if SERVER is None:
        pytest.skip("MariaDB is not installed: apt-get install mariadb-server")
    with local_mariadb() as url:
        yield url


@pytest.fixture
def mariadb_database(mariadb_url):
    name = f"t{secrets.token_hex(4)}"
    port = int(mariadb_url.rsplit(":", 1)[1].split("/")[0])
    with pymysql.connect(host="127.0.0.1", port=port, user="root") as server, server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return mariadb_url.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture(params=["postgresql", "sqlite", "mariadb"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'agency.db'}"
    fixture = "postgres_database" if request.param == "postgresql" else "mariadb_database"
    return request.getfixturevalue(fixture)


@pytest.fixture
def engine(url):
    engine = installed(url)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(postgres_database):
    engine = installed(postgres_database)
    yield engine
    engine.dispose()


def on_topic(kafka, prefix):
    return asyncio.run(events(kafka, prefix))


def foreign(connection, number, payload, op="UPSERT", event_id=None):
    given = {"id": str(event_id or uuid4()), "kind": IDENTITY, "key": person(number)["personal_id"], "type": op}
    connection.execute(FOREIGN, given | {"payload": payload if payload is None else json.dumps(payload).encode()})


def test_installing_twice_does_nothing_and_uninstalling_asks_first_while_rows_wait(url, kafka, topic_prefix):
    engine = installed(url)
    try:
        assert plan(engine) == install(engine) == []
        with engine.begin() as connection:
            foreign(connection, 1, person(1))
        with pytest.raises(ConfirmationNeeded, match="1 rows have not been sent"):
            uninstall(engine)
        assert uninstall(engine, confirmed=True)
        assert plan(engine)
        assert install(engine)
    finally:
        engine.dispose()


def test_what_commits_is_sent_in_order_and_what_is_rolled_back_is_not(kafka, topic_prefix, url, engine):
    asyncio.run(prepare(kafka, topic_prefix))
    agency = outbox(kafka, topic_prefix)
    with engine.begin() as connection:
        first = agency.enqueue(connection, IDENTITY, person(1))
        agency.enqueue_many(connection, IDENTITY, [person(2), person(3), person(2, full_name="Trần Thị Hai")])
    with Session(engine) as session:
        agency.enqueue(session, IDENTITY, person(4))
        session.rollback()
    with Session(engine) as session, session.begin():
        agency.enqueue_delete(session, IDENTITY, person(3)["personal_id"])
        agency.enqueue_merge(session, IDENTITY, person(1)["personal_id"], person(2)["personal_id"])
    relay_all(kafka, topic_prefix, url)
    found = on_topic(kafka, topic_prefix)
    told = {number: [e.op for e in found if e.key == person(number)["personal_id"]] for number in (1, 2, 3, 4)}
    assert told == {1: [Op.UPSERT, Op.MERGE], 2: [Op.UPSERT] * 2, 3: [Op.UPSERT, Op.DELETE], 4: []}
    assert first in [type(first)(event.event_id, event.version) for event in found]
    assert in_version_order(found)
    graves = [each for each in asyncio.run(records(kafka, f"{topic_prefix}.{IDENTITY}")) if each.value is None]
    assert [read_tombstone(each.headers).version for each in graves] == [e.version for e in found if e.op is Op.DELETE]


def test_rows_of_other_languages_are_encoded_and_a_bad_one_is_parked_by_name_while_the_next_go_on(
    kafka, topic_prefix, url, engine, capsys
):
    asyncio.run(prepare(kafka, topic_prefix))
    bad = uuid4()
    with engine.begin() as connection:
        foreign(connection, 1, person(1))
        foreign(connection, 2, person(2, sex="secret-value"), event_id=bad)
        foreign(connection, 1, person(1, full_name="Trần Thị Một"))
        foreign(connection, 2, person(2))
        foreign(connection, 1, None, op="DELETE")
    relay_all(kafka, topic_prefix, url)
    found = on_topic(kafka, topic_prefix)
    assert [e.op for e in found if e.key == person(1)["personal_id"]] == [Op.UPSERT, Op.UPSERT, Op.DELETE]
    assert [e.state for e in found if e.key == person(2)["personal_id"]] == [person(2)]
    assert in_version_order(found)
    with engine.connect() as connection:
        query = "SELECT id, parked FROM lienthong_outbox WHERE parked IS NOT NULL"
        ((parked, reason),) = connection.execute(text(query)).all()
    assert (str(parked), "sex: codes" in reason or "sex" in reason, "secret-value" in reason) == (str(bad), True, False)


def test_row_of_a_mistyped_register_is_told_and_sent_once_it_is_corrected(kafka, topic_prefix, tmp_path):
    url = f"sqlite:///{tmp_path / 'agency.db'}"
    engine = installed(url)
    asyncio.run(prepare(kafka, topic_prefix))
    with engine.begin() as connection:
        foreign(connection, 1, person(1))
        foreign(connection, 2, person(2), event_id="0190a0a0-0000-7000-8000-000000000001")
        where = "WHERE aggregateid LIKE '%2'"
        connection.execute(text(f"UPDATE lienthong_outbox SET aggregatetype = '079085000002' {where}"))
    with structlog.testing.capture_logs() as told:
        relay_all(kafka, topic_prefix, url)
    [stray] = [line for line in told if line["event"] == "outbox_rows_strayed"]
    assert (stray["rows"], stray["first_id"]) == (1, "0190a0a0-0000-7000-8000-000000000001")
    assert "079085000002" not in str(told)
    assert len(on_topic(kafka, topic_prefix)) == 1
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE lienthong_outbox SET aggregatetype = '{IDENTITY}' {where}"))
    relay_all(kafka, topic_prefix, url)
    assert len(on_topic(kafka, topic_prefix)) == 2
    engine.dispose()


def test_eight_writers_committing_out_of_order_come_in_commit_order_and_none_is_passed_over(
    kafka, topic_prefix, url, engine
):
    """The order in which they committed is written down under the lock that enqueue takes, in the same transaction."""
    asyncio.run(prepare(kafka, topic_prefix))
    agency = outbox(kafka, topic_prefix, registers=(IDENTITY,))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE diary (person INTEGER, place INTEGER, event CHAR(36))"))
    relay = Relay(relay_settings(kafka, topic_prefix, url, transaction_rows=50))
    running = threading.Thread(target=relay.run)
    running.start()
    # SQLite's writers wait for one another, whoever comes first
    pause = 0.002 if engine.dialect.name == "sqlite" else 0.02
    until = time.monotonic() + (SOAK_SECONDS if engine.dialect.name == "postgresql" else min(SOAK_SECONDS, 1))

    def write(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        while time.monotonic() < until:
            number = chance.randrange(6)
            try:
                with engine.begin() as connection:
                    queued = agency.enqueue(connection, IDENTITY, person(number))
                    last = connection.execute(text("SELECT max(place) FROM diary WHERE person = :p"), {"p": number})
                    row = {"p": number, "n": (last.scalar() or 0) + 1, "e": str(queued.event_id)}
                    connection.execute(text("INSERT INTO diary VALUES (:p, :n, :e)"), row)
                    time.sleep(chance.random() * pause)
            except OperationalError:
                continue  # a deadlock's victim, or SQLite's other writer: nothing was written

    try:
        with ThreadPoolExecutor(8) as writers:
            list(writers.map(write, range(8)))
    finally:
        relay.stop()
        running.join()
    relay_all(kafka, topic_prefix, url)
    with engine.connect() as connection:
        diary = connection.execute(text("SELECT person, event FROM diary ORDER BY person, place")).all()
    wanted = {number: [event for person_, event in diary if person_ == number] for number in range(6)}
    found = on_topic(kafka, topic_prefix)
    assert wanted == {n: [str(e.event_id) for e in found if e.key == person(n)["personal_id"]] for n in range(6)}
    assert len(diary) > 20


def test_rows_behind_a_running_older_transaction_wait_for_it(kafka, topic_prefix, postgres, postgres_database):
    asyncio.run(prepare(kafka, topic_prefix))
    agency = outbox(kafka, topic_prefix)
    relay = Relay(relay_settings(kafka, topic_prefix, postgres_database))
    running = threading.Thread(target=relay.run)
    with postgres.connect() as older:
        older.execute(text("SELECT pg_current_xact_id()"))
        with postgres.begin() as connection:
            agency.enqueue(connection, IDENTITY, person(1))
        running.start()
        wait(lambda: relay.unready is None)
        assert not on_topic(kafka, topic_prefix)
        older.rollback()
    wait(lambda: on_topic(kafka, topic_prefix))
    relay.stop()
    running.join()


def test_row_of_an_earlier_transaction_never_overtakes_the_row_of_its_key_that_it_waited_for(postgres):
    """Begun to write first, it got to the key second; a third one, between them, still runs."""
    agency = outbox("127.0.0.1:9", "city", form="json")
    with postgres.connect() as second, postgres.connect() as other, postgres.connect() as first:
        for each in (second, other, first):
            each.execute(text("SELECT pg_current_xact_id()"))
        for each in (first, second):
            agency.enqueue(each, IDENTITY, person(1))
            each.commit()
        source = PostgresSource(postgres, Share(IDENTITY, 0, 1, 100, 10**6))
        assert list(source.sweep()) == []
        other.commit()
        [rows] = source.sweep()
        source.close()
    assert len(rows) == 2


def test_rows_of_a_restored_dump_are_sent_whatever_transaction_wrote_them(
    kafka, topic_prefix, postgres, postgres_database
):
    asyncio.run(prepare(kafka, topic_prefix))
    with postgres.begin() as connection:
        outbox(kafka, topic_prefix).enqueue(connection, IDENTITY, person(1))
        connection.execute(text("UPDATE lienthong_outbox SET txid = '9000000000'::xid8"))
    relay_all(kafka, topic_prefix, postgres_database)
    assert len(on_topic(kafka, topic_prefix)) == 1


def test_two_relays_share_by_shard_and_one_takes_both_shares_over(kafka, topic_prefix, postgres, postgres_database):
    asyncio.run(prepare(kafka, topic_prefix))
    agency = outbox(kafka, topic_prefix)

    def write(name):
        with postgres.begin() as connection:
            agency.enqueue_many(connection, IDENTITY, [person(number, full_name=name) for number in range(20)])

    write("Nguyễn Văn Một")
    relay_all(kafka, topic_prefix, postgres_database)
    relays = [Relay(relay_settings(kafka, topic_prefix, postgres_database, shard=k, shards=2)) for k in (0, 1)]
    threads = [threading.Thread(target=relay.run) for relay in relays]
    for thread in threads:
        thread.start()
    write("Nguyễn Văn Hai")
    wait(lambda: len(on_topic(kafka, topic_prefix)) == 40)
    for relay, thread in zip(relays, threads, strict=True):
        relay.stop()
        thread.join()
    write("Nguyễn Văn Ba")
    relay_all(kafka, topic_prefix, postgres_database)
    found = on_topic(kafka, topic_prefix)
    assert (len(found), in_version_order(found)) == (60, True)


@pytest.mark.parametrize("url", ["postgresql", "sqlite"], indirect=True)
def test_sent_rows_are_pruned_after_their_time_or_at_once(kafka, topic_prefix, url, engine):
    asyncio.run(prepare(kafka, topic_prefix))
    agency = outbox(kafka, topic_prefix)

    def rows():
        with engine.connect() as connection:
            return connection.execute(text("SELECT count(*) FROM lienthong_outbox")).scalar()

    with engine.begin() as connection:
        agency.enqueue(connection, IDENTITY, person(1))
    relay_all(kafka, topic_prefix, url)
    assert rows() == 1
    with engine.begin() as connection:
        agency.enqueue(connection, IDENTITY, person(2))
    relay_all(kafka, topic_prefix, url, keep=0)
    assert rows() == 0, "the earlier one too"
    with engine.begin() as connection:
        agency.enqueue(connection, IDENTITY, person(3))
    relay_all(kafka, topic_prefix, url)
    assert rows() == 1
    relay = Relay(relay_settings(kafka, topic_prefix, url, keep="PT0.001S"))
    running = threading.Thread(target=relay.run)
    running.start()
    wait(lambda: rows() == 0)
    relay.stop()
    running.join()


def test_sent_rows_are_pruned_though_new_ones_never_cease(
    kafka, topic_prefix, postgres, postgres_database, monkeypatch
):
    asyncio.run(prepare(kafka, topic_prefix))
    monkeypatch.setattr("producers.outbox.relay.upkeep.HOUSEKEEPING_SECONDS", 0.1)
    monkeypatch.setattr("producers.outbox.relay.source.PRUNE_ROWS", 20)
    monkeypatch.setattr(Pipeline, "_sweep", busy(Pipeline._sweep))
    agency = outbox(kafka, topic_prefix)
    with postgres.begin() as connection:
        agency.enqueue_many(connection, IDENTITY, [person(number) for number in range(50)])
    with relaying(relay_settings(kafka, topic_prefix, postgres_database, keep="PT0.001S")):
        wait(lambda: not left(postgres))


def busy(sweep):
    def always_found_some(*given):
        sweep(*given)
        return True

    return always_found_some


def left(engine):
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM lienthong_outbox")).scalar()


def test_enqueue_outside_a_transaction_or_with_a_bad_state_writes_nothing(kafka, topic_prefix, postgres):
    asyncio.run(prepare(kafka, topic_prefix))
    agency = outbox(kafka, topic_prefix)
    with postgres.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(ConfigInvalid, match="needs a transaction"):
            agency.enqueue(connection, IDENTITY, person(1))
        with pytest.raises(StateInvalid, match="sex"):
            agency.enqueue(connection, IDENTITY, person(1, sex="?"))
        assert connection.execute(text("SELECT count(*) FROM lienthong_outbox")).scalar() == 0


def test_relay_process_serves_its_health_and_drains_on_sigterm(kafka, topic_prefix, postgres, postgres_database):
    asyncio.run(prepare(kafka, topic_prefix))
    agency = outbox(kafka, topic_prefix)
    with started(command(kafka, topic_prefix, postgres_database, "--log-json")) as process:
        try:
            port = next(told["metrics_port"] for line in process.stderr if "metrics_port" in (told := json.loads(line)))
            wait(lambda: answer(port, "readyz") == 200)
            assert answer(port, "livez") == 200
            with postgres.begin() as connection:
                agency.enqueue(connection, IDENTITY, person(1))
            wait(lambda: on_topic(kafka, topic_prefix))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    with postgres.connect() as connection:
        assert connection.execute(text("SELECT owner FROM lienthong_relay")).scalar() is None


def test_what_waits_is_counted_while_the_broker_is_away_and_while_another_relay_sends(
    kafka, topic_prefix, postgres, postgres_database, monkeypatch
):
    asyncio.run(prepare(kafka, topic_prefix))
    monkeypatch.setattr("producers.outbox.relay.relay.COUNT_SECONDS", 0.1)
    agency = outbox(kafka, topic_prefix)
    with postgres.begin() as connection:
        agency.enqueue_many(connection, IDENTITY, [person(number) for number in range(3)])
    with relaying(relay_settings(f"127.0.0.1:{free_ports(1)[0]}", topic_prefix, postgres_database)):
        wait(lambda: unsent() == 3)
    metrics.outbox_unsent.labels(IDENTITY).set(0)
    other = Lease(postgres, IDENTITY, 0, 1, 1)
    assert other.take() or other.take()
    with relaying(relay_settings(kafka, topic_prefix, postgres_database, lease_seconds=60)):
        wait(lambda: unsent() == 3)


def unsent():
    return metrics.outbox_unsent.labels(IDENTITY)._value.get()


@contextmanager
def relaying(settings):
    relay = Relay(settings)
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield
    finally:
        relay.stop()
        thread.join()


def answer(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def wait(true, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.mark.parametrize("database", ["postgres_database", "mariadb_database"])
def test_relay_frozen_within_a_transaction_keeps_its_successor_waiting_no_longer_than_a_bound(
    request, monkeypatch, database
):
    monkeypatch.setattr(lease, "IDLE_SECONDS", 0.5)
    engine = installed(request.getfixturevalue(database))
    frozen, next_one = (Lease(engine, IDENTITY, 0, 1, 0.1) for _ in range(2))
    assert (frozen.take(), frozen.take() is not None) == (None, True)
    with pytest.raises(DBAPIError):
        while_frozen(frozen, lambda: waited_for(next_one))
    assert not frozen.beat()
    assert next_one.beat()
    engine.dispose()


def while_frozen(owner, then):
    with owner.transaction() as connection:
        owner.remember(connection, "topic", {0: 1})
        then()


def waited_for(lease):
    deadline = time.monotonic() + 20
    while lease.take() is None and time.monotonic() < deadline:
        time.sleep(0.02)
