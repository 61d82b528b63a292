from datetime import date
from pathlib import Path

import pytest

from bus.errors import CatalogInvalid
from bus.schema import load_codes

HEAD = 'title = "T"\ntitle_vi = "T"\nsource = "S"\n'


def test_city_has_168_units_in_force():
    wards = load_codes()["ward"]
    assert len(wards.current) == 168
    kinds = [code.kind for code in wards.entries if code.valid_to is None]
    assert {kind: kinds.count(kind) for kind in kinds} == {"ward": 113, "commune": 54, "special_zone": 1}


def test_reused_code_names_another_unit_on_another_day():
    wards = load_codes()["ward"]
    before, after = wards.find("26737", date(2025, 6, 30)), wards.find("26737", date(2025, 7, 1))
    assert before is not None
    assert after is not None
    assert (before.name, after.name) == ("Phường Đa Kao", "Phường Tân Định")
    assert after.unit_id == "26737@2025-07-01"
    assert wards.find("26737") is after


def test_every_old_unit_has_a_successor_in_force():
    wards = load_codes()["ward"]
    old = [code for code in wards.entries if code.valid_to is not None]
    assert len(old) == 441
    assert {code.successor_code for code in old} <= wards.current
    assert {code.succession for code in old} == {"whole", "split"}


@pytest.mark.parametrize(
    ("name", "size"), [("ethnic_group", 54), ("province", 34), ("dossier_status", 10), ("country", 249)]
)
def test_list_is_whole(name: str, size: int):
    assert len(load_codes()[name].current) == size


def test_dossier_moves_lead_to_statuses_that_exist():
    statuses = load_codes()["dossier_status"]
    assert {code for entry in statuses.entries for code in entry.next} <= statuses.current
    received = statuses.find("1")
    assert received is not None
    assert received.next == ("2", "3", "7")


def test_ended_code_is_no_longer_current(tmp_path: Path):
    write(tmp_path, HEAD + 'codes = [{ code = "a", name = "A", name_vi = "A", valid_to = "2025-06-30" }]')
    assert load_codes(tmp_path)["list"].current == frozenset()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title", "list.toml: cannot be read"),
        (HEAD, "list.toml: codes is missing"),
        (HEAD + 'codes = [{ code = "a" }]', "list.toml: code a: name_vi: Field required"),
        (HEAD + 'codes = [{ code = "a", name = "A", name_vi = "A", valid_to = "soon" }]', "list.toml: code a"),
        (HEAD + 'codes = [{ code = "a", name = "A", name_vi = "A", colour = "red" }]', "list.toml: code a"),
        (HEAD + 'codes = [{ code = "a", name_vi = "A" }, { code = "a", name_vi = "B" }]', "code a is in force twice"),
        (HEAD + 'table = "none.tsv"', "list.toml: cannot be read"),
    ],
)
def test_wrong_list_is_refused_with_its_file(tmp_path: Path, text: str, told: str):
    write(tmp_path, text)
    with pytest.raises(CatalogInvalid, match=told):
        load_codes(tmp_path)


def write(root: Path, text: str) -> None:
    (root / "codes").mkdir()
    (root / "codes" / "list.toml").write_text(text, encoding="utf-8")
