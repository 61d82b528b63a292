"""Bulk encoding writes what fastavro writes, byte for byte."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import polars as pl
import pytest

from bus import bulk, codec, wire
from bus.bulk import BulkEncoder
from bus.demo.data import businesses, civil_status, dossiers, people, residence
from bus.errors import StateInvalid
from bus.names import AgencyCode, SchemaId
from bus.schema.avsc import load_register

PEOPLE = people(300, 7)
FIRMS = businesses(100, PEOPLE, 7)
STATES = {
    "resident.identity": PEOPLE,
    "resident.residence": residence(PEOPLE, 7),
    "resident.civil_status": civil_status(PEOPLE, 7),
    "business.registration": FIRMS,
    "dossier.case": dossiers(100, PEOPLE, FIRMS, AgencyCode("H29.101"), 7),
}


def events(states: pl.DataFrame) -> pl.DataFrame:
    now = datetime.now(UTC)
    envelope = states.select(
        event_id=pl.lit(str(uuid4())),
        op=pl.lit("UPSERT"),
        key=pl.first(),
        version=pl.int_range(pl.len(), dtype=pl.Int64) + 1_764_000_000_000_000,
        source=pl.lit("H29.5"),
        occurred_at=pl.lit(now),
        recorded_at=pl.lit(now),
        replaced_by=pl.lit(None, pl.String),
        state=pl.struct(pl.all()),
    )
    gone = envelope.tail(5).with_columns(op=pl.lit("DELETE"), state=pl.lit(None, envelope.schema["state"]))
    return pl.concat([envelope, gone])


@pytest.mark.parametrize("register", STATES)
@pytest.mark.parametrize("library", ["pyruhvro", "none"])
def test_bulk_bytes_equal_fastavro(register, library, monkeypatch):
    if library == "none":
        monkeypatch.setattr(bulk, "pyruhvro", None)
    schema = json.loads(load_register(register)[-1].text)
    frame = events(STATES[register])
    parsed = codec.parse(schema)
    expected = [wire.prefix(SchemaId(9)) + codec.body(parsed, row) for row in frame.iter_rows(named=True)]
    assert BulkEncoder(SchemaId(9), schema).encode(frame) == expected


def test_missing_required_nested_value_is_refused_not_written_empty():
    schema = json.loads(load_register("business.registration")[-1].text)
    frame = events(FIRMS)
    nameless = frame.with_columns(
        pl.col("state").struct.with_fields(
            pl.field("business_lines").list.eval(pl.element().struct.with_fields(code=pl.lit(None, pl.String)))
        )
    )
    with pytest.raises(StateInvalid):
        BulkEncoder(SchemaId(9), schema).encode(nameless)


def test_missing_required_value_is_refused():
    schema = json.loads(load_register("resident.identity")[-1].text)
    frame = events(PEOPLE).with_columns(pl.col("state").struct.with_fields(full_name=pl.lit(None, pl.String)))
    with pytest.raises(StateInvalid):
        BulkEncoder(SchemaId(9), schema).encode(frame)
