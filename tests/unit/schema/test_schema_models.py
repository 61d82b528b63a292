import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ValidationError

from bus.errors import CatalogInvalid
from bus.models import MODELS, BusinessRegistration, ResidentIdentity
from bus.models.resident import Address
from bus.schema import load_all, refusals
from bus.schema.models import generate, stale, write
from tests.unit.schema.samples import GENERATED, IDENTITY, everything, field, optional, record, save, schema, states

ROOT = Path(__file__).parents[3]


def test_models_are_up_to_date():
    assert stale(ROOT) == []


def test_every_register_has_a_model():
    assert MODELS.keys() == load_all().keys()
    assert all(register == model.REGISTER for register, model in MODELS.items())


@pytest.mark.parametrize("name", load_all())
def test_model_accepts_exactly_what_the_rules_accept(name: str):
    newest = load_all()[name][-1]

    @GENERATED
    @given(state=states(newest.state))
    def agree(state: dict[str, Any]) -> None:
        assert accepts(MODELS[name], state) == (refusals(newest, state) == [])

    agree()


def accepts(model: type[BaseModel], state: dict[str, Any]) -> bool:
    try:
        model.model_validate(state)
    except ValidationError:
        return False
    return True


def test_model_gives_back_the_state_it_was_made_of():
    state = ResidentIdentity(**IDENTITY).to_state()
    assert {k: v for k, v in state.items() if v is not None} == IDENTITY


def test_model_reads_json():
    text = (
        '{"personal_id":"079185000001","full_name":"Nguyễn Thị Mẫu","birth_date":"1985","birth_date_precision":"year",'
    )
    made = ResidentIdentity.model_validate_json(text + '"sex":"female","status":"active","card_expiry":"2030-01-31"}')
    assert made.card_expiry == dt.date(2030, 1, 31)


def test_model_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        ResidentIdentity(**IDENTITY).sex = "male"


@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        ({"full_name": "Bí Mật "}, ("full_name",), "text"),
        ({"full_name": 7}, ("full_name",), "string_type"),
        ({"personal_id": "079085000001"}, ("personal_id",), "personal_id_agrees"),
        ({"nickname": "Bí Mật"}, ("nickname",), "extra_forbidden"),
    ],
)
def test_error_names_field_and_rule_and_no_value(change: dict[str, Any], place: tuple[str, ...], rule: str):
    with pytest.raises(ValidationError) as caught:
        ResidentIdentity(**(IDENTITY | change))
    (error,) = caught.value.errors()
    assert (error["loc"], error["type"], error["input"]) == (place, rule, None)
    assert not any(
        str(value) in str(caught.value) + repr(caught.value.errors()) for value in change.values() if value != 7
    )
    assert caught.value.__cause__ is None


def test_error_inside_a_list_names_its_place():
    state = {
        "enterprise_code": "0100233488",
        "name": "Công ty Mẫu",
        "legal_form": "joint_stock",
        "legal_status": "operating",
    }
    with pytest.raises(ValidationError) as caught:
        BusinessRegistration(**state, business_lines=[{"code": "4711"}, {"code": "x"}])
    assert [(e["loc"], e["type"]) for e in caught.value.errors()] == [(("business_lines", 1, "code"), "pattern")]


def test_part_of_a_state_is_checked_alone():
    assert Address(ward_code="26740").province_code is None
    with pytest.raises(ValidationError, match="ward_code"):
        Address(ward_code="00001", province_code="79")


def test_fields_are_described_in_both_languages():
    described = ResidentIdentity.model_json_schema()["properties"]["full_name"]
    assert "Full name" in described["description"]
    assert "Họ" in described["description"]
    assert described["pii"] == "personal"


def test_generated_models_are_python_with_every_kind_of_field(tmp_path: Path):
    save(tmp_path / "schemas", everything())
    write(tmp_path)
    assert stale(tmp_path) == []
    text = (tmp_path / "bus/models/sample.py").read_text(encoding="utf-8")
    compile(text, "sample.py", "exec")
    assert "tags: tuple[str, ...] = Field(default=(), strict=False" in text
    assert "lists: tuple[tuple[int, ...], ...] | None" in text


def test_changed_schema_makes_models_stale(tmp_path: Path):
    save(tmp_path / "schemas", schema(field("id", "string")))
    write(tmp_path)
    save(
        tmp_path / "schemas",
        schema(field("id", "string")),
        schema(field("id", "string"), optional("no", "long")),
    )
    assert [path.name for path in stale(tmp_path)] == ["sample.py"]
    assert [path.name for path in write(tmp_path)] == ["sample.py"]


def test_model_file_without_register_is_stale(tmp_path: Path):
    save(tmp_path / "schemas", schema(field("id", "string")))
    write(tmp_path)
    (tmp_path / "bus/models/old.py").write_text("", encoding="utf-8")
    assert [path.name for path in write(tmp_path)] == ["old.py"]
    assert stale(tmp_path) == []


def test_one_name_for_two_forms_is_refused(tmp_path: Path):
    root = tmp_path / "schemas"
    save(root, schema(field("id", "string"), field("part", record("Part", field("a", "string")))))
    other = schema(field("id", "string"), field("part", record("Part", field("b", "string"))), name="Other")
    save(root, other, register="sample.other")
    with pytest.raises(CatalogInvalid, match="record Part differs"):
        generate(tmp_path)
