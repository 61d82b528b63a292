from pathlib import Path
from typing import Any

import pytest

from bus.errors import CatalogInvalid, RegisterUnknown
from bus.schema import check_style, load_register
from bus.schema.reader import portable
from tests.unit.schema.samples import everything, field, optional, record, save, schema

ID = field("id", "string")


def test_schema_with_every_kind_of_field_is_fine():
    assert check_style(everything()) == []


def without(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {k: v for k, v in raw.items() if k not in names}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ([without(ID, "doc")], "state.id: doc is missing"),
        ([without(ID, "doc_vi")], "state.id: doc_vi is missing"),
        ([without(ID, "pii")], "state.id: pii is missing"),
        ([ID | {"pii": "secret"}], "state.id: pii is missing"),
        ([ID | {"patern": "x"}], "state.id: unknown attribute patern"),
        ([ID | {"pattern": r"\d+", "hint": "h"}], "state.id: pattern"),
        ([ID | {"pattern": "[0-9]+"}], "state.id: a pattern needs a hint"),
        ([ID | {"codes": "colours"}], "state.id: codes 'colours'"),
        ([ID | {"check": "magic"}], "state.id: check 'magic'"),
        ([ID | {"minimum": 3}], "state.id: minimum does not go with type string"),
        ([field("n", "long", minimum="3")], "state.n: minimum '3'"),
        ([field("Id", "string")], "state.Id: a name is lower case"),
        ([field("copy", "string")], "state.copy: this name is reserved"),
        ([ID, ID], "state: two fields have the same name"),
        ([field("m", {"type": "map", "values": "string"})], "state.m: type not supported"),
        ([field("e", {"type": "enum", "name": "E", "symbols": ["A"]})], "state.e: type not supported"),
        ([field("n", "long", default=0)], "state.n: a default is null or []"),
        ([field("u", ["string", "null"])], "state.u: a union is"),
        ([field("u", ["null", "string"], default="x")], "state.u: an optional field has the default null"),
        ([field("r", record("R"))], "state.r: a record needs fields"),
        ([field("r", record("R", without(ID, "doc")))], "state.r.id: doc is missing"),
        ([field("r", record("R", ID)), field("s", record("R", ID))], "state.s: record name R is taken"),
    ],
)
def test_breach_is_told_with_its_place(fields: list[dict[str, Any]], told: str):
    problems = check_style(schema(*fields))
    assert any(problem.startswith(told) for problem in problems), problems


@pytest.mark.parametrize(
    "check",
    [
        "nothing(id)",
        "differs",
        "differs(id)",
        "differs(id,gone)",
        "differs(id,n)",
        "differs(id,part)",
        "in_order(id,id,id)",
    ],
)
def test_check_between_fields_needs_a_name_and_fitting_fields(check: str):
    fields = [ID, optional("n", "long"), optional("part", record("Part", ID))]
    (problem,) = check_style(schema(*fields, checks=[check]))
    assert problem.startswith("state: check")


@pytest.mark.parametrize("place", range(9))
def test_envelope_must_be_whole(place: int):
    raw = schema(ID)
    del raw["fields"][place]
    assert any(problem.startswith("fields: the envelope is exactly") for problem in check_style(raw))


def test_envelope_must_be_exact():
    raw = schema(ID)
    raw["fields"][3]["type"] = "int"
    assert "version: the envelope's type and default may not be changed" in check_style(raw)


def test_state_must_be_last_and_optional():
    raw = schema(ID)
    raw["fields"][8]["type"] = raw["fields"][8]["type"][1]
    assert any(problem.startswith("state: must be") for problem in check_style(raw))


@pytest.mark.parametrize(
    "pattern", ["[0-9]{12}", "(?:a|b)+", r"[0-9]\.[0-9]{6}", r"a\-b", "[^a-z]", "[a-z]{1,3}?", "[$^]x"]
)
def test_pattern_with_one_meaning_is_portable(pattern: str):
    assert portable(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d",
        r"\w+",
        r"\bx",
        "^a",
        "a$",
        "(?=a)",
        "(?i)a",
        "(?P<n>a)",
        "a++",
        "a{,3}",
        "[[a]b]",
        "[a&&b]",
        "[a--b]",
        "đ",
        "(",
        r"(a)\1",
        "[a~~b]",
    ],
)
def test_pattern_that_engines_read_differently_is_not_portable(pattern: str):
    assert not portable(pattern)


def test_load_names_file_field_and_number_of_problems(tmp_path: Path):
    save(tmp_path, schema(without(ID, "doc", "pii")))
    with pytest.raises(CatalogInvalid, match=r"sample/thing/v1\.avsc: state\.id: doc is missing.*and 1 more"):
        load_register("sample.thing", tmp_path)


def test_load_names_a_file_that_is_no_json(tmp_path: Path):
    save(tmp_path, schema(ID))
    (tmp_path / "avro/sample/thing/v1.avsc").write_text("{", encoding="utf-8")
    with pytest.raises(CatalogInvalid, match=r"v1\.avsc: not JSON"):
        load_register("sample.thing", tmp_path)


def test_load_refuses_a_gap_between_versions(tmp_path: Path):
    save(tmp_path, schema(ID), schema(ID), schema(ID))
    (tmp_path / "avro/sample/thing/v2.avsc").unlink()
    with pytest.raises(CatalogInvalid, match="without a gap"):
        load_register("sample.thing", tmp_path)


def test_load_gives_versions_in_order_of_their_numbers(tmp_path: Path):
    save(tmp_path, *[schema(ID)] * 11)
    assert [s.version for s in load_register("sample.thing", tmp_path)] == list(range(1, 12))


def test_schema_must_bear_its_registers_name(tmp_path: Path):
    save(tmp_path, schema(ID), register="sample.other")
    with pytest.raises(CatalogInvalid, match=r"sample\.other is the record vn\.lienthong\.sample\.Other"):
        load_register("sample.other", tmp_path)


@pytest.mark.parametrize("name", ["resident.nothing", "nothing", "../etc.x", ""])
def test_unknown_register_is_told_with_those_that_exist(name: str):
    with pytest.raises(RegisterUnknown, match=r"resident\.identity"):
        load_register(name)
