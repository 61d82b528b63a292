"""Cells to values: each form that an office may write, and what each refusal says."""

import datetime as dt
import io

import polars as pl
import pytest

from bus.catalog import load_catalog
from bus.schema.avsc import load_register
from producers.filediff import forms
from producers.filediff.check import check
from producers.filediff.parse import parse
from producers.filediff.reader import CsvReader
from tests.exports import as_csv
from tests.producing import WARD, person


def rows(register, content, agency):
    schema, entry = load_register(register)[-1], load_catalog().register(register)
    [chunk] = CsvReader(io.BytesIO(content.encode()), "export.csv").chunks()
    parsed = parse(chunk, schema)
    return parsed, check(chunk, parsed, entry, schema, agency)


def told(checked):
    return [(line, field, reason) for line, field, reason, _ in checked.refused.iter_rows()]


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("2021-04-09", dt.date(2021, 4, 9)),
        ("09/04/2021", dt.date(2021, 4, 9)),
        ("9/4/2021", dt.date(2021, 4, 9)),
        (" 9/4/2021 ", dt.date(2021, 4, 9)),
        ("29/02/2024", dt.date(2024, 2, 29)),
        ("29/02/2023", None),
        ("2021-4-9", None),
        ("04/2021", None),
        ("9.4.2021", None),
        ("0021-04-09", None),
        ("2021-04-09T00:00:00", None),
        ("hôm qua", None),
    ],
)
def test_dates(cell, wanted):
    assert pl.DataFrame({"c": [cell]}).select(forms.date(pl.col("c").str.strip_chars())).item() == wanted


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("1985", "1985"),
        ("03/1985", "1985-03"),
        ("3/1985", "1985-03"),
        ("12/03/1985", "1985-03-12"),
        ("2/3/1985", "1985-03-02"),
        ("1985-03", "1985-03"),
        ("1985-03-12", "1985-03-12"),
        ("12-03-1985", "12-03-1985"),
        ("85", "85"),
    ],
)
def test_partial_dates_keep_what_is_known_and_are_never_padded(cell, wanted):
    assert pl.DataFrame({"c": [cell]}).select(forms.partial_date(pl.col("c"))).item() == wanted


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("2026-07-06T08:30:00+07:00", (1, 30, 0)),
        ("2026-07-06T08:30:00.250+0700", (1, 30, 250_000)),
        ("2026-07-06 08:30+07:00", (1, 30, 0)),
        ("2026-07-06T01:30:00Z", (1, 30, 0)),
        ("20260706083000", (1, 30, 0)),
        ("2026-07-06T08:30:00", None),
        ("2026-07-32T08:30:00Z", None),
        ("20260732083000", None),
        ("2026-07-06", None),
    ],
)
def test_points_in_time_need_a_zone_or_the_portals_form(cell, wanted):
    found = pl.DataFrame({"c": [cell]}).select(forms.timestamp(pl.col("c"))).item()
    assert found == (wanted and dt.datetime(2026, 7, 6, wanted[0], wanted[1], 0, wanted[2], tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("kind", "cell", "wanted"),
    [
        ("long", "5000000000", 5_000_000_000),
        ("long", "9223372036854775808", None),
        ("long", "5.000.000", None),
        ("long", "1e3", None),
        ("int", "2147483648", None),
        ("boolean", "TRUE", True),
        ("boolean", "0", False),
        ("boolean", "có", None),
        ("double", "1.5", 1.5),
        ("double", "1,5", None),
        ("double", "nan", None),
    ],
)
def test_numbers_and_booleans(kind, cell, wanted):
    dtype = {"long": pl.Int64(), "int": pl.Int32(), "double": pl.Float64(), "boolean": pl.Boolean()}[kind]
    assert pl.DataFrame({"c": [cell]}).select(forms.read(pl.col("c"), kind, dtype)).item() == wanted


def test_precision_is_derived_where_it_is_absent_or_empty_and_held_against_the_date_where_given():
    given = [
        person(1, birth_date="1985", birth_date_precision=None),
        person(2, birth_date="03/1985", birth_date_precision=None),
        person(3, birth_date="1985", birth_date_precision="day"),
    ]
    parsed, checked = rows("resident.identity", as_csv(given), "H29.5")
    assert parsed.frame["birth_date_precision"].to_list() == ["year", "month", "day"]
    assert told(checked) == [(4, "birth_date_precision", "birth_date_precision_agrees")]


def test_cell_that_cannot_be_read_is_told_once_and_empty_required_text_is_refused():
    given = [person(1, card_issue_date="31/02/2021"), person(2, full_name=""), person(3)]
    _, checked = rows("resident.identity", as_csv(given), "H29.5")
    assert told(checked) == [(2, "card_issue_date", "date"), (3, "full_name", "required")]
    assert checked.lines.to_list() == [4]


def test_text_is_put_into_nfc():
    parsed, _ = rows("resident.identity", as_csv([person(1, full_name="Nguye\u0302\u0303n")]), "H29.5")
    assert parsed.frame["full_name"].item() == "Nguyễn"


CASE = {
    "dossier_code": f"{WARD}-260706-0001",
    "procedure_code": "1.000656",
    "applicant_kind": "citizen",
    "received_at": "20260706083000",
    "status": "2",
    "agency_code": WARD,
}


@pytest.mark.parametrize(
    ("cell", "place", "reason"),
    [
        ("no json", "results", "json"),
        ("[" * 100_000, "results", "json"),
        ("{}", "results", "json"),
        ("[1]", "results[0]", "json"),
        ('[{"name":"A"},{"name":1}]', "results[1].name", "text"),
        ('[{"name":"\\ud800"}]', "results[0].name", "text"),
        ('[{"name":"A","colour":"red"}]', "results[0]", "unknown"),
        ('[{"name":"A","issued_on":"31/02/2026"}]', "results[0].issued_on", "date"),
        ("[{}]", "results[0].name", "required"),
        ('[{"name":" A"}]', "results[0].name", "text"),
        ("[null]", "results[0]", "required"),
    ],
)
def test_lists_in_json_name_the_place_that_is_wrong(cell, place, reason):
    _, checked = rows("dossier.case", as_csv([CASE | {"results": cell}]), WARD)
    assert told(checked) == [(2, place, reason)]


def test_list_cells_are_read_with_both_forms_of_dates_and_an_empty_cell_is_an_empty_list():
    given = [
        CASE | {"results": '[{"name":"Giấy A","issued_on":"6/7/2026"},{"name":"B","issued_on":"2026-07-06"}]'},
        CASE | {"dossier_code": f"{WARD}-260706-0002", "results": ""},
    ]
    parsed, checked = rows("dossier.case", as_csv(given), WARD)
    assert told(checked) == []
    first, second = parsed.frame["results"].to_list()
    assert [item["issued_on"] for item in first] == [dt.date(2026, 7, 6)] * 2
    assert second == []


def test_record_of_empty_cells_is_no_record_and_its_absent_columns_are_empty():
    home = {"permanent_address.detail": "1 Lê Lợi", "permanent_address.ward_code": None}
    given = [
        {"personal_id": "079085000001", **home},
        {"personal_id": "079085000002", **dict.fromkeys(home)},
    ]
    parsed, checked = rows("resident.residence", as_csv(given), "H29.5")
    assert told(checked) == []
    first, second = parsed.frame["permanent_address"].to_list()
    assert (first["detail"], first["country"], second) == ("1 Lê Lợi", None, None)
    assert parsed.frame["current_address"].to_list() == [None, None]
