import io
import json
from typing import Any

import fastavro
import polars as pl
import pytest

from bus.schema import RegisterSchema, check_compatible, check_style, frame_schema, load_all, load_codes, refusals
from bus.schema.types import AvroType
from tests.unit.schema.samples import IDENTITY, identity

REGISTERS = [
    "business.registration",
    "business.tax",
    "code.country",
    "code.ethnic_group",
    "code.legal_form",
    "code.procedure",
    "code.ward",
    "dossier.case",
    "resident.civil_status",
    "resident.identity",
    "resident.residence",
    "resident.sensitive",
]
VERSIONS = [schema for versions in load_all().values() for schema in versions]
each = pytest.mark.parametrize("schema", VERSIONS, ids=lambda s: f"{s.register}.v{s.version}")


def test_every_register_has_a_schema():
    assert list(load_all()) == REGISTERS


@each
def test_shipped_schema_keeps_the_style(schema: RegisterSchema):
    assert check_style(json.loads(schema.text)) == []


@each
def test_shipped_schema_is_compatible_with_itself_and_all_before(schema: RegisterSchema):
    before = [json.loads(s.text) for s in load_all()[schema.register] if s.version <= schema.version]
    assert check_compatible(json.loads(schema.text), before) == []


@each
def test_published_text_is_compact_and_keeps_rules(schema: RegisterSchema):
    assert json.dumps(json.loads(schema.text), ensure_ascii=False, separators=(",", ":")) == schema.text
    assert '"doc_vi"' in schema.text
    assert '"pii"' in schema.text


@each
def test_polars_decodes_the_schema_into_the_frame_that_rules_expect(schema: RegisterSchema):
    inlined = inline(json.loads(schema.text), {}, "")
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(inlined), [event(schema, None), event(schema, smallest(schema))])
    frame = pl.read_avro(io.BytesIO(file.getvalue()))
    assert frame.schema["state"] == pl.Struct(frame_schema(schema))
    assert frame["state"].is_null().to_list() == [True, False]


@each
def test_fastavro_round_trips_an_event(schema: RegisterSchema):
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema.parsed, event(schema, smallest(schema)))
    buffer.seek(0)
    read = fastavro.schemaless_reader(buffer, schema.parsed, None)
    assert read["key"] == "k"
    assert set(read["state"]) == {field.name for field in schema.fields}


@pytest.mark.parametrize("name", ["ward", "country", "ethnic_group", "legal_form"])
def test_code_list_obeys_its_own_register(name: str):
    schema = load_all()[f"code.{name}"][-1]
    states = load_codes()[name].states()
    assert [refusal for state in states for refusal in refusals(schema, state)] == []
    assert len({state["unit_id"] for state in states}) == len(states)


def test_smallest_identity_is_accepted():
    assert refusals(identity(), IDENTITY) == []


def smallest(schema: RegisterSchema) -> dict[str, Any]:
    return {
        f.name: {"string": "x", "timestamp": 0}[f.kind] for f in schema.fields if not f.nullable and not f.has_default
    }


def event(schema: RegisterSchema, state: dict[str, Any] | None) -> dict[str, Any]:
    times = {"occurred_at": 0, "recorded_at": 0}
    return {"event_id": "0" * 32, "op": "UPSERT", "key": "k", "version": 1, "source": "H29.1", **times, "state": state}


def inline(avro: Any, named: dict[str, Any], at: str) -> Any:
    """Write each further use of a named type out under a name of its own, as the columnar decoder does."""
    if isinstance(avro, list):
        return [inline(part, named, at) for part in avro]
    if isinstance(avro, str):
        return {**named[avro], "name": f"{avro}_{at}"} if avro in named else avro
    if avro["type"] == "array":
        return {**avro, "items": inline(avro["items"], named, at)}
    if avro["type"] == "record":
        made = {**avro, "fields": [{**f, "type": inline(f["type"], named, f["name"])} for f in avro["fields"]]}
        return named.setdefault(avro["name"], made)
    return avro


def test_named_type_is_found_wherever_it_stands():
    residence = AvroType.of(json.loads(load_all()["resident.residence"][0].text))
    state = residence.fields["state"][1].branches["record 0"]
    assert state.fields["current_address"][1].branches["record 0"].name == "vn.lienthong.resident.Address"
