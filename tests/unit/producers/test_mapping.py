"""Mapping files: what they make of a frame, and how each mistake in one is told."""

import tomllib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import ConfigInvalid
from bus.schema.avsc import load_register
from producers.mapping import Mapping

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
IDENTITY, RESIDENCE, CASE = (
    load_register(name)[-1] for name in ("resident.identity", "resident.residence", "dossier.case")
)
NEEDED = {"personal_id": "ID", "full_name": "TEN", "birth_date": "NS", "sex": "GT", "status": {"constant": "active"}}


def mapping(fields, schema=IDENTITY, name="M.toml", **source):
    return Mapping.of({"register": schema.register, "source": source, "fields": fields}, schema, name)


def frame(**columns):
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))


def test_shipped_example_makes_states_of_a_tcvn3_export():
    made = Mapping.load(EXAMPLES / "police.toml", IDENTITY)
    source = frame(
        **{
            "Sè CCCD": ["079085000001", "79190000002"],
            "HO": ["NguyÔn", "trÇn"],
            "DEM": ["ThÞ BÝch", None],
            "TEN": ["Ngäc", "thÞ ®µo."],
            "NGAY_SINH": ["12/3/1985", "1990"],
            "GT": ["1", "X"],
            "NOI_SINH": ["Bµ  RÞa", "NULL"],
            "QUOC_TICH": ["Lµo", ""],
            "NGAY_CAP": ["44197", "-"],
            "GHI_CHU": ["x", "y"],
        }
    )
    assert made.check(source.columns, "export.csv") == ("GHI_CHU",)
    cleaned = made.apply(source, pl.Series([2, 3]))
    assert cleaned.frame.to_dicts() == [
        {
            "personal_id": "079085000001",
            "full_name": "Nguyễn Thị Bích Ngọc",
            "birth_date": "1985-03-12",
            "sex": "male",
            "nationality": "LA",
            "birth_place": "Bà Rịa",
            "card_issue_date": "2021-01-01",
            "status": "active",
        },
        {
            "personal_id": "079190000002",
            "full_name": "Trần Thị Đào",
            "birth_date": "1990",
            "sex": "unknown",
            "nationality": "VN",
            "birth_place": None,
            "card_issue_date": None,
            "status": "active",
        },
    ]
    assert cleaned.refused.is_empty()
    assert cleaned.reviews.select("row", "field", "reason").rows() == [
        (3, "personal_id", "lost_zeros"),
        (3, "sex", "codes_otherwise"),
    ]
    name = cleaned.changes.filter(pl.col("field") == "full_name", row=3)
    assert name.select("from", "to", "rule").rows() == [
        ("trÇn thÞ ®µo.", "trần thị đào.", "tcvn3"),
        ("trần thị đào.", "trần thị đào", "name"),
        ("trần thị đào", "Trần Thị Đào", "title"),
    ]


def test_shipped_example_converts_whole_wards_and_keeps_split_ones_raw():
    made = Mapping.load(EXAMPLES / "residence.toml", RESIDENCE)
    columns = ("CCCD", "SO_HO", "DIA_CHI", "PHUONG_CU", "PHUONG_MOI", "NOI_O", "PHUONG_NAY")
    rows = [
        ("079085000001", "1", "12 Yersin, Phường Hiệp Thành", "25741", None, None, None),
        ("079085000002", "2", "13 Yersin", "25741", "25747", None, None),
        ("079085000003", "3", "14 Yersin", "25744", None, "1 Lê Lợi", "Phường Sài Gòn"),
        ("079085000004", "4", "15 Yersin", None, "26740", None, None),
        ("079085000005", "5", "16 Yersin", "Phường Hiệp Thành, TP. Thủ Dầu Một", "Phường Phú Lợi", None, None),
        ("079085000006", "6", "17 Yersin", None, None, None, None),
    ]
    cleaned = made.apply(pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String()), orient="row"))
    address = ["permanent_address.detail", "permanent_address.ward_code", "permanent_address.old_ward_code"]
    assert cleaned.frame.select(address).rows() == [
        ("12 Yersin, Phường Hiệp Thành", None, "25741"),
        ("13 Yersin", "25747", "25741"),
        ("14 Yersin", "25750", "25744"),
        ("15 Yersin", "26740", None),  # as an old code it would be Bến Nghé's, where this person never lived
        ("16 Yersin", "25750", "25741"),
        ("17 Yersin", None, None),
    ]
    assert cleaned.frame["current_address.ward_code"].to_list() == [None, None, "26740", None, None, None]
    assert set(cleaned.changes["rule"]) == {"old_ward", "ward"}
    assert cleaned.reviews.select("row", "field", "value", "reason").rows() == [
        (0, "permanent_address.ward_code", "25741", "needs_review")
    ]


def test_refused_values_are_named_with_row_field_and_reason_but_not_told():
    made = mapping(
        {**NEEDED, "sex": {"from": "GT", "codes": {"1": "male"}}, "birth_date": {"from": "NS", "parse": "date"}}
    )
    cleaned = made.apply(frame(ID=["1", "2"], TEN=["A", "B"], NS=["31/02/1985", "1985"], GT=["1", "7"]))
    assert cleaned.refused.select("row", "field", "reason").rows() == [(0, "birth_date", "date"), (1, "sex", "codes")]
    assert cleaned.refused.columns == ["row", "field", "reason", "expected"]
    assert cleaned.frame["sex"].to_list() == ["male", None]


def test_column_in_another_encoding_than_its_source_says_so_itself():
    fields = {
        **NEEDED,
        "birth_place": {"from": "NOI", "encoding": "vni"},
        "native_place": {"from": "QUE", "encoding": "utf-8"},
    }
    made = mapping(fields, encoding="tcvn3")
    cleaned = made.apply(frame(ID=["1"], TEN=["Ngäc"], NS=["1985"], GT=["male"], NOI=["Beán Ngheù"], QUE=["Bến Nghé"]))
    assert cleaned.frame.select("full_name", "birth_place", "native_place").row(0) == ("Ngọc", "Bến Nghé", "Bến Nghé")


def test_mixed_encodings_are_refused_cell_by_cell():
    cleaned = mapping(NEEDED, encoding="tcvn3").apply(
        frame(ID=["1", "2"], TEN=["Ngäc", "Ngọc"], NS=["1985"] * 2, GT=["male"] * 2)
    )
    assert cleaned.refused.select("row", "field", "reason").rows() == [(1, "full_name", "encoding")]


def test_list_fields_are_taken_as_json_and_only_decoded():
    fields = {name: {"constant": "x"} for name in ("dossier_code", "procedure_code", "received_at", "agency_code")} | {
        "applicant_kind": {"constant": "citizen"},
        "status": {"constant": "1"},
        "documents": "GIAY_TO",
    }
    made = mapping(fields, CASE, encoding="tcvn3")
    cleaned = made.apply(frame(GIAY_TO=['[{"name":  "GiÊy khai sinh"}]']))
    assert cleaned.frame["documents"].to_list() == ['[{"name":  "Giấy khai sinh"}]']


def test_dossier_received_on_another_day_than_its_code_says_is_to_be_looked_at():
    fields = {
        "dossier_code": {"from": "MA", "parse": "dossier_code"},
        "received_at": {"from": "NGAY", "parse": "timestamp"},
        "procedure_code": {"constant": "1.000656"},
        "applicant_kind": {"from": "LOAI", "codes": {"0": "citizen", "1": "business", "2": "household"}},
        "agency_code": {"constant": "H29.101"},
        "status": {"constant": "1"},
    }
    cleaned = mapping(fields, CASE).apply(
        frame(MA=["H29.101-260706-1377"] * 2, NGAY=["06/07/2026 08:30", "20260707083000"], LOAI=["0", "2"])
    )
    assert cleaned.reviews.select("row", "field", "reason").rows() == [(1, "dossier_code", "dossier_date")]
    assert cleaned.frame["applicant_kind"].to_list() == ["citizen", "household"]


def test_tables_in_tables_name_nested_fields_as_dots_do():
    raw = tomllib.loads('[permanent_address]\ndetail = "D"\nward_code = { from = "P", parse = "ward" }\n')
    made = mapping({"personal_id": "ID", **raw}, RESIDENCE)
    dotted = mapping(
        {
            "personal_id": "ID",
            "permanent_address.detail": "D",
            "permanent_address.ward_code": {"from": "P", "parse": "ward"},
        },
        RESIDENCE,
    )
    assert [target.name for target in made.targets] == [target.name for target in dotted.targets]


MISTAKES = {
    "unknown field": (
        {**NEEDED, "birth_dat": "X"},
        "M.toml: fields.birth_dat: resident.identity has no such field; the nearest is birth_date",
    ),
    "missing field": ({name: value for name, value in NEEDED.items() if name != "sex"}, "fields.sex: missing"),
    "unknown rule": (
        {**NEEDED, "full_name": {"from": "TEN", "rules": ["txt"]}},
        "fields.full_name.rules: txt is no rule",
    ),
    "parser as rule": ({**NEEDED, "full_name": {"from": "TEN", "rules": ["phone"]}}, "it goes into parse"),
    "unknown parser": ({**NEEDED, "full_name": {"from": "TEN", "parse": "text"}}, "it goes into rules"),
    "code outside its list": (
        {**NEEDED, "sex": {"from": "GT", "codes": {"1": "man"}}},
        "fields.sex.codes: man is not in the list sex; codes are female, male, unknown",
    ),
    "constant outside its list": (
        {**NEEDED, "status": {"constant": "x"}},
        "fields.status.constant: x is not in the list resident_status",
    ),
    "otherwise outside its list": (
        {**NEEDED, "sex": {"from": "GT", "codes": {"1": "male"}, "otherwise": "?"}},
        "fields.sex.otherwise",
    ),
    "default outside its list": (
        {**NEEDED, "nationality": {"from": "Q", "default": "Việt Nam"}},
        "fields.nationality.default",
    ),
    "unknown key": (
        {**NEEDED, "sex": {"from": "GT", "kodes": {"1": "male"}}},
        "fields.sex.kodes: no such key; known are",
    ),
    "only unknown keys": ({**NEEDED, "sex": {"form": "GT"}}, "fields.sex.form: no such key"),
    "neither column nor constant": ({**NEEDED, "sex": {"codes": {"1": "male"}}}, "fields.sex: a field has either from"),
    "both": ({**NEEDED, "sex": {"from": "GT", "constant": "male"}}, "fields.sex: a field has either from"),
    "codes and parse": (
        {**NEEDED, "sex": {"from": "GT", "codes": {"1": "male"}, "parse": "phone"}},
        "codes or parse, not both",
    ),
    "two-digit years": (
        {**NEEDED, "birth_date": {"from": "NS", "parse": "date", "formats": ["dd/mm/yy"]}},
        "formats: dd/mm/yy",
    ),
    "formats without parse": ({**NEEDED, "birth_date": {"from": "NS", "formats": ["yyyy"]}}, "formats belong to parse"),
    "number into text": (
        {**NEEDED, "full_name": {"from": "TEN", "parse": "number_vi"}},
        "fields.full_name.parse: number_vi makes",
    ),
    "text into date": (
        {**NEEDED, "card_expiry": {"from": "H", "parse": "phone"}},
        "fields.card_expiry.parse: phone makes string",
    ),
    "old ward of three columns": (
        {**NEEDED, "birth_place": {"from": ["P", "Q", "R"], "parse": "old_ward"}},
        "old_ward reads one column of old wards",
    ),
    "old ward where no field takes its code": (
        {**NEEDED, "birth_place": {"from": "P", "parse": "old_ward"}},
        "no old_ward_code beside it",
    ),
    "otherwise alone": ({**NEEDED, "sex": {"from": "GT", "otherwise": "unknown"}}, "otherwise belongs to codes"),
    "encoding": ({**NEEDED, "sex": {"from": "GT", "encoding": "tcvn"}}, "fields.sex.encoding"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_is_told_in_one_line_with_file_key_and_remedy(case):
    fields, told = MISTAKES[case]
    with pytest.raises(ConfigInvalid) as found:
        mapping(fields)
    assert str(found.value).startswith("M.toml: ")
    assert told in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"register = ", "not TOML"),
        ("register = 'Sài Gòn'".encode("utf-16"), "not UTF-8"),
        (b'register = "resident.identity"', "fields: missing"),
        (
            b'register = "resident.residence"\n[fields]\npersonal_id = "X"',
            "is resident.residence, not resident.identity",
        ),
        (b'register = "resident.identity"\nsauce = 1\n[fields]\npersonal_id = "X"', "sauce: no such key"),
        (
            b'register = "resident.identity"\n[source]\nfont = 1\n[fields]\npersonal_id = "X"',
            "source.font: no such key; known are charset, empty, encoding",
        ),
    ],
)
def test_file_that_is_no_mapping_is_told(tmp_path, content, told):
    path = tmp_path / "M.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=r"M\.toml: ") as found:
        Mapping.load(path, IDENTITY)
    assert told in str(found.value)


def test_missing_mapping_file_is_told(tmp_path):
    with pytest.raises(ConfigInvalid, match="No such file"):
        Mapping.load(tmp_path / "M.toml", IDENTITY)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["ID", "TEN", "NS"], "fields.sex.from: export.csv has no column GT"),
        (["ID", "TENN", "NS", "GT"], "no column TEN; the nearest is TENN"),
        (["ID", "TEN", " TEN", "NS", "GT"], "column TEN 2 times"),
    ],
)
def test_source_that_does_not_fit_is_told(columns, told):
    with pytest.raises(ConfigInvalid) as found:
        mapping(NEEDED).check(columns, "export.csv")
    assert told in str(found.value)


CELLS = st.one_of(st.none(), st.text(st.sampled_from("aàÐ 01/9\u00a0\u0301-ễ?"), max_size=8))


@settings(max_examples=60)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_every_row_comes_out_in_its_place_and_every_original_can_be_told(rows):
    fields = {
        "personal_id": {"from": "A", "parse": "personal_id"},
        "full_name": {"from": ["A", "B"], "rules": ["text", "name"]},
        "birth_date": {"from": "C", "parse": "date"},
        "sex": {"from": "B", "codes": {"a": "male"}},
        "status": {"constant": "active"},
    }
    columns = pl.DataFrame(rows, schema=dict.fromkeys("ABC", pl.String()), orient="row")
    cleaned = mapping(fields).apply(columns, pl.int_range(2, len(rows) + 2, eager=True))
    assert cleaned.frame.height == len(rows)
    blank = {None, ""}
    first = {(row, field): before for row, field, before, *_ in reversed(cleaned.changes.rows())}
    refused = set(cleaned.refused.select("row", "field").rows())
    for number, (_, _, cell) in enumerate(rows, 2):
        value = cleaned.frame["birth_date"][number - 2]
        original = first.get((number, "birth_date"), value)
        if (number, "birth_date") not in refused:
            assert original == cell or (cell or "").strip() in blank
