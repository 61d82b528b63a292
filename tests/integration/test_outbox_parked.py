"""Rows that the relay parked, taken again: they are sent where they are their key's newest, and settled where not."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from bus.cli.app import app
from bus.schema import load_register
from producers.capture.install import install
from producers.mapping import Mapping
from producers.outbox.database import engine_for
from producers.outbox.parked import Selection, retry
from tests.capture import MAPPING, ask, made, people, topic
from tests.outbox import in_version_order, installed, outbox, relay_all
from tests.producing import IDENTITY, events, person, prepare

PUT = text("""\
INSERT INTO lienthong_outbox (id, aggregatetype, aggregateid, type, payload, parked)
VALUES (:id, 'resident.identity', :key, 'UPSERT', :payload, :parked)""")


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'agency.db'}"
    return request.getfixturevalue("postgres_database")


@pytest.fixture
def engine(url):
    engine = installed(url)
    yield engine
    engine.dispose()


def put(engine, number, parked="sex: codes: expected male", **changes):
    state, event_id = person(number, **changes), str(uuid4())
    given = {"id": event_id, "key": state["personal_id"], "payload": json.dumps(state).encode(), "parked": parked}
    with engine.begin() as connection:
        connection.execute(PUT, given)
    return event_id


def told(url, *words):
    done = CliRunner().invoke(app, ["outbox", "parked", words[0], "--url", url, *words[1:]])
    code = getattr(done.exception, "exit_code", done.exit_code)
    return code, json.loads(done.stdout) if done.stdout.startswith("{") else done.output


def test_retried_rows_are_sent_unless_a_newer_row_of_their_key_stands(kafka, topic_prefix, url, engine):
    asyncio.run(prepare(kafka, topic_prefix))
    first, late = put(engine, 1), put(engine, 2)
    put(engine, 3, sex="secret-value")
    put(engine, 2, parked=None, full_name="Trần Thị Hai")
    relay_all(kafka, topic_prefix, url)
    code, listed = told(url, "list", "--json")
    assert code == 0
    assert {row["id"]: row["superseded"] for row in listed["rows"]}.items() >= {(first, False), (late, True)}
    assert "079085" not in json.dumps(listed)
    assert told(url, "retry", "--all", "--json") == (0, {"taken": 2, "superseded": 1, "left": 0})
    relay_all(kafka, topic_prefix, url)
    found = asyncio.run(events(kafka, topic_prefix))
    assert {event.key[-1]: event.state["full_name"] for event in found} == {"1": "Nguyễn Văn 1", "2": "Trần Thị Hai"}
    assert in_version_order(found)
    [still] = told(url, "list", "--json")[1]["counts"]
    assert (still["rows"], "sex" in still["reason"], "secret-value" in still["reason"]) == (1, True, False)


def test_selection_is_by_id_register_and_reason_and_codes_say_what_came_of_it(url, engine):
    one, _ = put(engine, 1), put(engine, 2, parked="payload: expected 100% JSON")
    assert told(url, "retry")[0] == 3
    assert told(url, "retry", "--id", "079085000001")[0] == 3
    assert told(url, "retry", "--id", str(uuid4()), "--json") == (1, {"taken": 0, "superseded": 0, "left": 0})
    assert told(url, "retry", "--register", "resident.residence", "--json")[1]["taken"] == 0
    assert told(url, "retry", "--reason", "0% J", "--register", IDENTITY, "--json")[1]["taken"] == 1
    assert told(url, "retry", "--id", one, "--json")[1]["taken"] == 1
    assert told(url, "list") == (0, "nothing is parked\n")
    with engine.begin() as connection:
        connection.execute(text("UPDATE lienthong_outbox SET version = NULL, parked = 'version'"))
    assert told(url, "retry", "--all", "--json") == (1, {"taken": 0, "superseded": 0, "left": 2})


def test_retry_waits_for_a_writer_of_the_same_key_and_then_gives_way_to_it(postgres_database):
    engine = installed(postgres_database)
    late, agency = put(engine, 1), outbox("127.0.0.1:9", "city", form="json")
    with ThreadPoolExecutor(1) as beside:
        with engine.begin() as connection:
            agency.enqueue(connection, IDENTITY, person(1))
            retried = beside.submit(retry, engine, Selection([UUID(late)]))
            with psycopg.connect(postgres_database, autocommit=True) as look:
                while not look.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]:
                    assert not retried.done()
        assert retried.result() == {"superseded": 1}
    engine.dispose()


def test_captured_row_is_taken_again_by_the_mapping_that_its_table_has_now(
    kafka, topic_prefix, postgres_database, tmp_path
):
    asyncio.run(prepare(kafka, topic_prefix))
    url = postgres_database
    made(url, topic_prefix)
    with psycopg.connect(url) as connection:
        people(connection, range(1, 2))
        connection.execute("UPDATE persons SET gioi_tinh = 7")
    relay_all(kafka, topic_prefix, url)
    engine = engine_for(url)
    path = tmp_path / "persons.toml"
    path.write_text(MAPPING.read_text("utf-8").replace('"2" = "female"', '"7" = "male"'), "utf-8")
    install(engine, ask(topic_prefix, mapping=Mapping.load(path, load_register(IDENTITY)[-1])))
    assert retry(engine, Selection(reason="sex: ")) == {"taken": 1}
    engine.dispose()
    relay_all(kafka, topic_prefix, url)
    _, found = topic(kafka, topic_prefix)
    assert [event.state["sex"] for event in found] == ["male", "male"]
