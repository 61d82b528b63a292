import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import StateInvalid
from bus.schema import RegisterSchema, broken, frame_schema, load_all, load_register, refusals
from tests.unit.schema.samples import GENERATED, IDENTITY, everything, identity, save, states


@pytest.fixture(scope="module")
def registers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RegisterSchema]:
    root: Path = tmp_path_factory.mktemp("schemas")
    own = load_register("sample.thing", save(root, everything()))[0]
    return {"sample.thing": own, **{name: versions[-1] for name, versions in load_all().items()}}


def row_way(schema: RegisterSchema, many: list[dict[str, Any]]) -> list[tuple[int, str, str, str]]:
    return sorted((row, r.field, r.rule, r.expected) for row, state in enumerate(many) for r in refusals(schema, state))


@pytest.mark.parametrize("name", ["sample.thing", *load_all()])
def test_columns_and_rows_give_the_same_answer(registers: dict[str, RegisterSchema], name: str):
    schema = registers[name]

    @GENERATED
    @given(many=st.lists(states(schema.state), max_size=6))
    def agree(many: list[dict[str, Any]]) -> None:
        frame = pl.DataFrame(many, schema=frame_schema(schema), orient="row")
        found, wanted = broken(schema, frame).rows(), row_way(schema, many)
        assert set(found) ^ set(wanted) == set()
        assert len(found) == len(wanted)

    agree()


def test_good_frame_has_an_empty_answer_with_its_columns():
    frame = pl.DataFrame([IDENTITY] * 3, schema_overrides={"card_expiry": pl.Date()})
    found = broken(identity(), frame)
    assert found.is_empty()
    assert found.schema == {"row": pl.UInt32, "field": pl.String, "rule": pl.String, "expected": pl.String}


def test_row_numbers_are_those_of_the_frame():
    many = [IDENTITY | ({"sex": "x", "status": None} if row in (1, 4) else {}) for row in range(6)]
    found = broken(identity(), pl.DataFrame(many))
    assert found.select("row", "field", "rule").rows() == [
        (1, "sex", "codes"),
        (1, "status", "required"),
        (4, "sex", "codes"),
        (4, "status", "required"),
    ]


def test_left_out_column_has_its_default():
    required = broken(identity(), pl.DataFrame([IDENTITY]).drop("full_name"))
    assert required.select("field", "rule").rows() == [("full_name", "required")]


def test_left_out_list_is_empty():
    schema = load_register("business.registration")[-1]
    state = {
        "enterprise_code": "0100233488",
        "name": "Công ty Mẫu",
        "legal_form": "joint_stock",
        "legal_status": "operating",
    }
    assert broken(schema, pl.DataFrame([state] * 2)).is_empty()


def test_column_of_another_type_is_refused_by_name():
    with pytest.raises(StateInvalid, match="column card_expiry has type String; cast it to Date"):
        broken(identity(), pl.DataFrame([IDENTITY | {"card_expiry": "2030-01-01"}]))


def test_unknown_column_is_refused_by_name():
    with pytest.raises(StateInvalid, match="no field phone"):
        broken(identity(), pl.DataFrame([IDENTITY | {"phone": "x"}]))


def test_narrow_numbers_are_widened(tmp_path: Path):
    schema = load_register("sample.thing", save(tmp_path, everything()))[0]
    state = {"id": "x", "small": 9, "since": dt.date(2026, 1, 1), "outer": {"open": True, "inner": None, "many": []}}
    frame = pl.DataFrame([state], schema={k: v for k, v in frame_schema(schema).items() if k in state})
    found = broken(schema, frame.with_columns(pl.col("small").cast(pl.Int8)))
    assert found.select("field", "rule").rows() == [("small", "maximum")]
