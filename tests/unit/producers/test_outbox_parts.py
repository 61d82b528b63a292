"""The outbox's deciding parts, without a server."""

import datetime as dt
import json
import re
import time
from types import SimpleNamespace
from uuid import UUID, uuid4

import pymysql
import pytest
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql, sqlite

from bus.bulk import BulkEncoder
from bus.catalog import load_catalog
from bus.cli import main
from bus.codec import Encoder, decode, parse
from bus.errors import ConfigInvalid
from bus.event import Op
from bus.names import SchemaId
from bus.schema.avsc import load_register
from producers.outbox.cli import _duration, _shard
from producers.outbox.connection import DRIVERS, _text, handle
from producers.outbox.database import database_url, engine_at, remedy, told_plainly
from producers.outbox.install import creation, install, removal
from producers.outbox.relay import holding
from producers.outbox.relay.encoding import RowEncoder, typed
from producers.outbox.relay.lease import Lease
from producers.outbox.relay.row import Row
from producers.outbox.statements import ROW, statements
from producers.outbox.table import tables
from producers.release import Release
from tests.outbox import installed
from tests.producing import BUSINESS, IDENTITY, POLICE, person

DIALECTS = [postgresql, sqlite, mysql, mssql, oracle]
NOW = dt.datetime(2026, 7, 6, 9, 30, tzinfo=dt.UTC)
ID = UUID("0190a0a0-0000-7000-8000-000000000001")
DEBEZIUM = ("id", "aggregatetype", "aggregateid", "type", "payload")


@pytest.fixture(scope="module")
def encoder():
    schema = load_register(IDENTITY)[-1]
    parsed = parse(json.loads(schema.text))
    release = Release(
        schema, SchemaId(7), Encoder(SchemaId(7), parsed), BulkEncoder(SchemaId(7), json.loads(schema.text))
    )
    return RowEncoder(load_catalog().register(IDENTITY), POLICE, release)


def row(payload, op="UPSERT", form="json", number=1, **changes):
    key = person(number)["personal_id"].encode()
    payload = json.dumps(payload).encode() if isinstance(payload, dict) else payload
    return Row(1, key, str(ID).encode(), op, form, payload, 5, None, None, NOW)._replace(**changes)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda module: module.__name__.split(".")[-1])
def test_tables_and_statements_build_for_every_dialect_with_debeziums_column_names(dialect):
    made = "\n".join(creation(dialect.dialect()))
    assert all(f"{name} " in made for name in (*DEBEZIUM, "lienthong_version", "lienthong_relay"))
    names = [table.name for table in tables("postgresql").all]
    assert len([each for each in removal(dialect.dialect(), names) if each.startswith("DROP TABLE")]) == 3
    assert creation(dialect.dialect(), names) == []
    name = dialect.dialect().name
    for kind, style in {found for found in DRIVERS.values() if found[0] == name}:
        *versions, insert = (
            _text(each, kind, style) for each in (*statements(name).next_version, statements(name).insert)
        )
        assert insert.given(dict.fromkeys(ROW, 1))
        assert all(each.given({"kind": "a", "key": "b", "now": 1}) for each in versions)


def test_final_bytes_get_only_their_headers(encoder):
    batch = encoder.encode([row(b"\0rest", form="bytes", traceparent="00-ab-cd-01"), row(b"", form="bytes", seq=2)])
    ((key, value, headers),) = batch.records
    assert (key, value) == (b"079085000001", b"\0rest")
    assert dict(headers)["ce_id"] == str(ID).encode()
    assert dict(headers)["traceparent"] == b"00-ab-cd-01"
    assert (batch.done, [each[0] for each in batch.parked]) == ([1], [2])


def test_json_becomes_the_event_that_a_publisher_would_send(encoder):
    batch = encoder.encode(
        [row(person(1)), row(None, "DELETE"), row({"replaced_by": person(2)["personal_id"]}, "MERGE")]
    )
    values = [value for _key, value, _headers in batch.records]
    events = [decode(IDENTITY, value[5:], encoder.release.encoder.schema) for value in values if value]
    assert [event.op for event in events] == [Op.UPSERT, Op.DELETE, Op.MERGE]
    assert (events[0].state, events[0].version, events[0].source, events[0].recorded_at) == (person(1), 5, POLICE, NOW)
    assert events[2].replaced_by == person(2)["personal_id"]
    assert [value is None for value in values] == [False, False, True, False]
    assert batch.ops == ["UPSERT", "DELETE", "MERGE"]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (row(b"not json"), "payload: expected JSON"),
        (row(b"[]"), "payload: expected a JSON object"),
        (row(b"\xff\xfe"), "payload: expected JSON"),
        (row(person(2)), "aggregateid: expected the same as personal_id"),
        (row(person(1, sex="zzz")), "sex:"),
        (row(person(1, extra="zzz")), "extra: unknown"),
        (row(person(1), "REPLACE"), "type: expected one of"),
        (row(b"\0" * 1_000_000, form="bytes"), "bytes; expected at most"),
        (row(person(1), form="xml"), "format: expected"),
        (row({}, "MERGE"), "payload: expected for a merge"),
        (row({"replaced_by": "079085000001"}, "MERGE"), "replaced_by: expected another key"),
        (row(None, "DELETE", key=b"zzz"), "personal_id:"),
        (row(person(1), event_id=b"zzz"), "id: expected a UUID"),
    ],
)
def test_a_row_that_cannot_be_sent_is_parked_with_a_reason_that_shows_no_value(encoder, bad, named):
    batch = encoder.encode([bad, row(person(3), number=3, seq=9)])
    ((_seq, _id, reason),) = batch.parked
    assert (named in reason, "zzz" in reason.split(named)[-1], batch.done) == (True, False, [9])


@pytest.mark.parametrize(
    "bad", [{}, {"sex": "zzz"}, {"sex": 7}, {"extra": 1}, {"full_name": "\ud800"}, {"personal_id": "0"}]
)
def test_many_json_rows_at_once_give_what_each_gives_alone(encoder, bad):
    rows = [row(person(n), number=n, seq=n, version=n + 9) for n in range(1, 101)]
    rows[50] = row(person(51) | bad, number=51, seq=51)
    rows[60] = row(b"null", number=61, seq=61)
    rows[70] = row(None, "DELETE", number=71, seq=71)
    rows[80] = row({name: value for name, value in person(81).items() if value is not None}, number=81, seq=81)
    for some in (rows, rows[:60]):
        alone = [encoder.encode([each]) for each in some]
        batch = encoder.encode(some)
        assert batch.records == [record for each in alone for record in each.records]
        assert batch.done == [seq for each in alone for seq in each.done]
        assert batch.parked == [parked for each in alone for parked in each.parked]


def test_json_dates_are_read_as_such_and_what_is_none_is_left_for_the_rules():
    state = load_register(BUSINESS)[-1].state
    assert typed(state, {"first_registered_on": "2020-02-29"}) == {"first_registered_on": dt.date(2020, 2, 29)}
    assert typed(state, {"first_registered_on": "2021-02-29"}) == {"first_registered_on": "2021-02-29"}


def test_a_lease_is_one_owners_until_it_leaves_or_is_silent(tmp_path):
    engine = installed(f"sqlite:///{tmp_path / 'lease.db'}")
    first, second = (Lease(engine, "resident.identity", 0, 1, 0.1) for _ in range(2))
    assert (first.take(), first.take() is not None, second.take()) == (None, True, None)
    assert first.beat()
    assert second.take() is None
    first.leave()
    assert second.take() is not None
    assert not first.beat()
    with engine.begin() as connection:
        assert not first.remember(connection, "topic", {0: 1}), "what it marks late is not to count"
    assert taken(first) is not None
    engine.dispose()


def test_ids_of_strangers_that_no_row_can_have_are_passed_over():
    ours = str(uuid4()).encode()
    ids = [ours, b"order-17", b"\xff", ours.replace(b"-", b"")]
    records = [SimpleNamespace(headers=(("ce_id", each),), value=b"v") for each in ids]
    assert list(holding._events(records)) == [(ours, False)]


def test_a_new_division_of_the_keys_inherits_the_lowest_positions_and_fences_all_of_the_earlier_one(tmp_path):
    engine = installed(f"sqlite:///{tmp_path / 'lease.db'}")
    for shard, positions in ((0, {0: 5, 1: 9}), (1, {0: 7, 1: 2})):
        lease = Lease(engine, "resident.identity", shard, 2, 60)
        assert (lease.take(), lease.take() is not None) == (None, True)
        with engine.begin() as connection:
            lease.remember(connection, "topic", positions)
        lease.leave()
    expected = ({0: 5, 1: 2}, "topic", [0, 1])
    killed = Lease(engine, "resident.identity", 0, 1, 0.05)
    held = killed.take()
    assert (held.positions, held.topic_id, sorted(held.fence)) == expected
    earlier, other = Lease(engine, "resident.identity", 1, 2, 0.05), Lease(engine, "resident.identity", 0, 1, 0.05)
    assert (earlier.take(), other.take()) == (None, None), "while one is at it, nobody else is"
    held = taken(other)
    assert (held.positions, held.topic_id, sorted(held.fence)) == expected, "the killed one has ended nobody"
    assert (killed.divide(), other.divide()) == (False, True)
    other.leave()
    held = Lease(engine, "resident.identity", 0, 1, 60).take()
    assert (held.positions, held.topic_id, held.fence) == ({0: 5, 1: 2}, "topic", [])
    engine.dispose()


def test_a_shard_of_a_larger_division_waits_until_the_first_one_has_ended_the_earlier(tmp_path):
    engine = installed(f"sqlite:///{tmp_path / 'lease.db'}")
    old = Lease(engine, "resident.identity", 0, 1, 60)
    assert (old.take(), old.take() is not None) == (None, True)
    with engine.begin() as connection:
        assert old.remember(connection, "topic", {0: 5})
    old.leave()
    first, second = (Lease(engine, "resident.identity", shard, 2, 0.05) for shard in range(2))
    assert second.take() is None, "it makes its row"
    assert sorted(first.take().fence) == [0, 1]
    for _ in range(4):
        time.sleep(0.03)
        assert first.beat()
        assert second.take() is None
    assert first.divide()
    held = second.take()
    assert (held.positions, held.fence) == ({0: 5}, [])
    assert (first.beat(), second.beat()) == (True, True)
    engine.dispose()


def taken(lease):
    deadline = time.monotonic() + 5
    while (held := lease.take()) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


@pytest.mark.parametrize("url", ["nonsense", "access://x", "firebird://x/y"])
def test_a_url_that_is_none_is_told_in_one_line(url):
    with pytest.raises(ConfigInvalid, match="--url"):
        database_url(url)


def test_options_that_are_none_are_told():
    assert (_duration("7d"), _duration("0"), _shard("1/2")) == (dt.timedelta(days=7), dt.timedelta(0), (1, 2))
    for read, wrong in ((_duration, "week"), (_shard, "2")):
        with pytest.raises(ConfigInvalid, match="expected"):
            read(wrong)


def test_a_connection_of_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ConfigInvalid, match=r"builtins\.object"):
        handle(object())


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO lienthong_outbox (id) VALUES ('x')", "may not be written; give this user the right"),
        ("SELECT * FROM lienthong_nothing", "tables are not there; run: lienthong outbox install"),
    ],
)
def test_sqlite_file_without_rights_or_tables_is_told_with_its_remedy(tmp_path, statement, told):
    with engine_at(f"sqlite:///{tmp_path}/agency.db") as engine:
        install(engine)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
            with pytest.raises(ConfigInvalid, match=told), told_plainly(engine):
                connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("number", "told"), [(1142, "a right on a table; .*GRANT"), (1045, "password"), (1146, "install")]
)
def test_right_that_mariadb_refuses_is_no_server_that_is_away(number, told):
    error = pymysql.err.OperationalError(number, "INSERT command denied to user 'x' for table 'y'")
    assert re.search(told, remedy(error))
    assert remedy(pymysql.err.OperationalError(2003, "Can't connect")) is None


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--shard", "3/2"), "a shard is written k/n"),
        (("--shard", "0/99"), "option --shard: Input should be less than"),
        (("--lease", "0"), "option --lease: Input should be greater than 0"),
        (("--transaction-rows", "0"), "option --transaction-rows: Input should be greater than"),
    ],
)
def test_wrong_option_of_the_relay_is_told_by_its_own_name(capsys, option, told):
    with pytest.raises(SystemExit) as exited:
        main(["outbox", "relay", "--url", "sqlite:///a.db", "--agency", POLICE, "--register", IDENTITY, *option])
    error = capsys.readouterr().err
    assert (exited.value.code, told in error, "--file" in error) == (3, True, False), error
