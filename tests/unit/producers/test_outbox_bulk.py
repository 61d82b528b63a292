"""JSON rows by columns and one by one: whatever they hold, both ways send the same bytes and park the same rows."""

import datetime as dt
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.bulk import BulkEncoder
from bus.catalog import load_catalog
from bus.codec import Encoder, parse
from bus.names import AgencyCode, SchemaId
from bus.schema.avsc import load_register
from producers.outbox.relay import bulk, encoding
from producers.outbox.relay.encoding import RowEncoder
from producers.outbox.relay.row import Row
from producers.outbox.relay.source import PlainSource, Share
from producers.release import Release
from tests.outbox import installed
from tests.producing import IDENTITY, person
from tests.unit.schema.samples import date, field, optional, save, schema, states

NOW = dt.datetime(2026, 7, 6, 9, 30, tzinfo=dt.UTC)
TIMED = "sample.thing"
SOUND = {
    IDENTITY: person(1, card_issue_date="2021-03-12", card_expiry="2031-03-12"),
    "business.tax": {
        "tax_id": "0100233488",
        "enterprise_code": "0100233488",
        "tax_status": "operating",
        "tax_office": "Thuế cơ sở 1",
        "since": "2020-02-29",
    },
    "code.country": {
        "unit_id": "VN@2020-01-01",
        "code": "VN",
        "valid_from": "2020-01-01",
        "valid_to": None,
        "name": "Việt Nam",
    },
    TIMED: {"id": "ab", "on": "2020-02-29", "at": "2026-07-06T09:30:00+07:00", "seen_at": None},
}
"""Flat registers, which may go by columns, and for points in time one of no register."""
GENERATED = settings(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
SPELLINGS = st.sampled_from(
    ["1985-03-12", "19850312", "1985-W11-2", "1985-3-12", "1985-02-29", "0001-01-01", "9999-12-31", "10000-01-01", ""]
)
TIMES = st.sampled_from(
    [
        *(
            "2026-07-06T09:30:00Z",
            "2026-07-06T09:30:00.123456+07:00",
            "2026-07-06 09:30",
            "2026-07-06",
            "20260706T0930Z",
        ),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-07-06T09:30:00,5Z", "2026-07-06T24:00:00Z"),
    ]
)
ODD = st.one_of(
    SPELLINGS, TIMES, st.integers(), st.floats(), st.booleans(), st.just([]), st.just({}), st.just("\ud800"), st.none()
)
PAYLOADS = st.sampled_from(
    [None, b"", b"null", b"[]", b"{", b"\xff", b'"text"', b"NaN", b'{"a":1,"a":2}', b"\xef\xbb\xbf{}"]
)
IDS = st.sampled_from(
    [
        *(b"0190a0a0-0000-7000-8000-000000000001", b"0190A0A0-0000-7000-8000-000000000001", b"zzz", b""),
        *(b"0190a0a0000070008000000000000001", b"{0190a0a0-0000-7000-8000-000000000001}"),
    ]
)
MOMENTS = st.sampled_from(
    [NOW, NOW.replace(tzinfo=None), NOW.isoformat(), NOW.astimezone(dt.timezone(dt.timedelta(hours=7)))]
)
SPOILT = {
    "key": st.sampled_from([b"", b"079085000002", "Hà".encode()]),
    "payload": PAYLOADS,
    "event_id": IDS,
    "occurred_at": st.one_of(st.none(), MOMENTS),
    "created_at": MOMENTS,
    "version": st.integers(-(2**63), 2**63 - 1),
}


@cache
def encoder(name: str) -> RowEncoder:
    if name == TIMED:
        moment = {"type": "long", "logicalType": "timestamp-micros"}
        things = schema(field("id", "string"), field("on", date()), field("at", moment), optional("seen_at", moment))
        register = load_catalog().register(IDENTITY)
        register, agency = register.model_copy(update={"key_field": "id"}), AgencyCode("H29.5")
        with TemporaryDirectory() as folder:
            [found] = load_register(name, save(Path(folder), things))
    else:
        register = load_catalog().register(name)
        agency, found = next(iter(load_catalog().topics(register).values())), load_register(name)[-1]
    text, number = json.loads(found.text), SchemaId(7)
    return RowEncoder(register, agency, Release(found, number, Encoder(number, parse(text)), BulkEncoder(number, text)))


@st.composite
def rows(draw, name):
    """Sound ones, and ones with a value, a spelling or a column that is wrong, or nearly."""
    way, made = encoder(name), []
    for seq in range(1, draw(st.integers(1, 8)) + 1):
        told = dict(SOUND[name])
        kind = draw(st.sampled_from(["sound", "sound", "value", "odd", "short", "column"]))
        if kind == "value":
            one = draw(st.sampled_from(sorted(told)))
            told[one] = draw(states(way.release.schema.state))[one]
        if kind == "odd":
            told[draw(st.sampled_from([*sorted(told), "unknown", ""]))] = draw(ODD)
        if kind == "short":
            told = {field: value for field, value in told.items() if value is not None}
        text = json.dumps(told, default=lambda value: value.isoformat(), ensure_ascii=draw(st.booleans()))
        key, event_id = str(told[way.register.key_field]).encode(errors="replace"), str(UUID(int=seq)).encode()
        payload = text.encode(errors="surrogatepass")
        row = Row(seq, key, event_id, "UPSERT", "json", payload, seq, None, None, NOW)
        if kind == "column":
            column = draw(st.sampled_from(sorted(SPOILT)))
            row = row._replace(**{column: draw(SPOILT[column])})
        made.append(row)
    return made


@pytest.mark.parametrize("name", SOUND)
@GENERATED
@given(data=st.data())
def test_rows_by_columns_give_what_each_gives_alone(name, data):
    some, way = data.draw(rows(name)), encoder(name)
    alone = [way.encode([each]) for each in some]
    with (
        mock.patch.object(encoding, "BULK_ROWS", 1),
        mock.patch.object(encoding, "SLICE_ROWS", data.draw(st.integers(1, 12))),
    ):
        batch = way.encode(some)
    assert batch.records == [record for each in alone for record in each.records]
    assert batch.done == [seq for each in alone for seq in each.done]
    assert batch.parked == [parked for each in alone for parked in each.parked]


@pytest.mark.parametrize("name", SOUND)
def test_sound_rows_do_go_by_columns(name):
    """Otherwise the other test would compare the row way with itself."""
    way = encoder(name)
    row = Row(1, b"", str(UUID(int=1)).encode(), "UPSERT", "json", json.dumps(SOUND[name]).encode(), 1, None, None, NOW)
    good = row._replace(key=SOUND[name][way.register.key_field].encode())
    assert [*bulk.values(way.register, way.agency, way.release, [good])] == [1]


def test_row_whose_id_is_in_capitals_is_known_by_the_event_that_was_made_of_it(tmp_path):
    engine = installed(f"sqlite:///{tmp_path / 'agency.db'}")
    capitals = "0190A0A0-0000-7000-8000-00000000000B"
    put = "INSERT INTO lienthong_outbox (id, aggregatetype, aggregateid, type, payload) VALUES (?, ?, '1', 'UPSERT', '{}')"
    source = PlainSource(engine, Share(IDENTITY, 0, 1, 10, 1_000))
    with engine.begin() as connection:
        connection.exec_driver_sql(put, (capitals, IDENTITY))
        assert source.mark_known(connection, frozenset({(capitals.lower().encode(), False)})) == 1
    engine.dispose()
