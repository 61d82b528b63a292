import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from stdnum.vn import mst

from bus.schema import load_register, refusals
from bus.schema.checks import CHECKS
from tests.unit.schema.samples import BAD, GOOD, IDENTITY, everything, identity, save

NAIVE = dt.datetime.fromisoformat("2026-01-01T00:00")


def test_every_check_has_samples():
    assert GOOD.keys() == BAD.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_check_accepts_good_and_refuses_bad_both_ways(name: str):
    check = CHECKS[name]
    values = GOOD[name] + BAD[name]
    wanted = [True] * len(GOOD[name]) + [False] * len(BAD[name])
    assert [check.holds(value) for value in values] == wanted
    columns = pl.DataFrame({"v": values}).select(check.column(pl.col("v")).fill_null(value=False))
    assert columns.to_series().to_list() == wanted


def test_tax_check_digit_column_agrees_with_stdnum_on_many_numbers():
    numbers = [f"{n:010}" for n in range(100_233_400, 100_233_600)] + [
        f"{n * 7_919_113 % 10**10:010}" for n in range(2000)
    ]
    got = pl.DataFrame({"v": numbers}).select(CHECKS["enterprise_code"].column(pl.col("v"))).to_series().to_list()
    assert got == [mst.is_valid(number) for number in numbers]


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"personal_id": "079085000001"}, "personal_id", "personal_id_agrees"),
        ({"personal_id": "079385000001"}, "personal_id", "personal_id_agrees"),
        ({"personal_id": "079186000001"}, "personal_id", "personal_id_agrees"),
        ({"personal_id": "07918500000"}, "personal_id", "pattern"),
        ({"personal_id": None}, "personal_id", "required"),
        ({"personal_id": 79185000001}, "personal_id", "type"),
        ({"full_name": "Mẫu\ud800"}, "full_name", "type"),
        ({"full_name": "M" * 201}, "full_name", "max_length"),
        ({"birth_date_precision": "month"}, "birth_date_precision", "birth_date_precision_agrees"),
        ({"birth_date": "1985"}, "birth_date_precision", "birth_date_precision_agrees"),
        ({"sex": "nữ"}, "sex", "codes"),
        ({"card_issue_date": dt.date(2030, 1, 1), "card_expiry": dt.date(2029, 1, 1)}, "card_issue_date", "in_order"),
        ({"card_issue_date": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)}, "card_issue_date", "type"),
        ({"phone": "0900000000"}, "phone", "unknown"),
    ],
)
def test_one_wrong_field_is_refused_by_one_rule(change: dict[str, Any], field: str, rule: str):
    assert [(r.field, r.rule) for r in refusals(identity(), IDENTITY | change)] == [(field, rule)]


@pytest.mark.parametrize(
    "change",
    [
        {"personal_id": "999185000001"},
        {"sex": "unknown", "personal_id": "079085000001"},
        {"personal_id": "079285000001", "birth_date": "2085", "birth_date_precision": "year", "sex": "male"},
        {"personal_id": "079985000001", "birth_date": "2385-01", "birth_date_precision": "month"},
    ],
    ids=["unknown province prefix", "sex not recorded", "born in the 21st century", "born in the 24th century"],
)
def test_unusual_but_right_identity_is_accepted(change: dict[str, Any]):
    assert refusals(identity(), IDENTITY | change) == []


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ({"ward_code": "26740", "province_code": "79"}, []),
        ({"ward_code": "26740"}, []),
        ({"ward_code": "00001", "province_code": "01"}, []),
        ({"ward_code": "00001", "country": "FR"}, []),
        ({"ward_code": "00001"}, ["current_address.ward_code"]),
        ({"ward_code": "25741", "province_code": "79"}, ["current_address.ward_code"]),
        ({"ward_code": "2674"}, ["current_address.ward_code"]),
        ({"old_ward_code": "99999"}, []),
        ({"street": "x"}, ["current_address.street"]),
    ],
)
def test_ward_must_be_in_force_in_the_city_only(address: dict[str, Any], wanted: list[str]):
    schema = load_register("resident.residence")[-1]
    found = refusals(schema, {"personal_id": "079185000001", "current_address": address})
    assert [r.field for r in found] == wanted


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("citizen", "079185000001", "0100233488"),
        ("business", "0100233488", "079185000001"),
        ("household", "079185000001", "0100233480"),
        ("foreigner", "C1234567", None),
    ],
)
def test_applicant_id_has_the_form_of_its_kind(kind: str, good: str, bad: str | None):
    schema = load_register("dossier.case")[-1]
    state = {
        "dossier_code": "H29.5-260706-1377",
        "procedure_code": "1.000656",
        "applicant_kind": kind,
        "received_at": dt.datetime(2026, 7, 6, tzinfo=dt.UTC),
        "status": "2",
        "agency_code": "H29.5",
    }
    assert refusals(schema, state | {"applicant_id": good}) == []
    assert bad is None or [r.rule for r in refusals(schema, state | {"applicant_id": bad})] == ["applicant_id_agrees"]


def test_point_in_time_without_zone_is_refused(tmp_path: Path):
    schema = load_register("sample.thing", save(tmp_path, everything()))[0]
    found = refusals(
        schema,
        {
            "id": "x",
            "since": dt.date(2026, 1, 1),
            "outer": {"open": True},
            "seen_at": NAIVE,
        },
    )
    assert [(r.field, r.rule) for r in found] == [("seen_at", "type")]


def test_nested_refusals_name_their_place(tmp_path: Path):
    schema = load_register("sample.thing", save(tmp_path, everything()))[0]
    outer = {"open": True, "inner": {"code": "zz"}, "many": [{"code": "ab"}, {"code": "a"}, None, "x"]}
    state = {
        "id": "x",
        "since": dt.date(2026, 1, 1),
        "outer": outer,
        "tags": ["a", "B", None],
        "lists": [[1], [2, None]],
    }
    assert {(r.field, r.rule) for r in refusals(schema, state)} == {
        ("outer.inner.code", "pattern"),
        ("outer.many[1].code", "pattern"),
        ("outer.many[2]", "required"),
        ("outer.many[3]", "type"),
        ("tags[1]", "pattern"),
        ("tags[2]", "required"),
        ("lists[1][1]", "required"),
    }


def test_refusal_tells_no_value():
    state = IDENTITY | {
        "full_name": "Bí\u0301 Mật\n",
        "personal_id": "123456789",
        "sex": "kín",
        "birth_date": "31/12/1985",
    }
    told = " ".join(f"{r.field} {r.rule} {r.expected}" for r in refusals(identity(), state))
    assert not any(value in told for value in ("Mật", "123456789", "kín", "31/12/1985"))
