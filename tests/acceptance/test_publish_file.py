"""``lienthong publish file`` as an office uses it: exit codes, one line per mistake, reports."""

import asyncio
import csv
import json
import stat

import pytest

from bus.cli import main
from tests.exports import as_csv, export, people, text
from tests.producing import IDENTITY, person, prepare


@pytest.fixture(scope="module")
def prefix(kafka):
    name = "publish-file"
    asyncio.run(prepare(kafka, name))
    return name


@pytest.fixture
def lienthong(kafka, topic_prefix, tmp_path, capsys, monkeypatch):
    """Runs ``publish file`` by the police; gives exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(
        *arguments: object, register: str = IDENTITY, agency: str = "H29.5", servers: str = kafka, prefix=topic_prefix
    ):
        options = ["--agency", agency, "--kafka", servers, "--prefix", prefix, "--registry", f"{prefix}-schemas"]
        options += [] if "--state" in arguments else ["--state", str(tmp_path / "state")]
        with pytest.raises(SystemExit) as exited:
            main(["publish", "file", register, *map(str, arguments), *options])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return int(exited.value.code or 0), out, error

    return run


@pytest.fixture
def ready(kafka, topic_prefix):
    asyncio.run(prepare(kafka, topic_prefix))


@pytest.mark.usefixtures("ready")
def test_summary_counts_what_was_sent_and_refused_and_names_the_files(lienthong, tmp_path):
    file = export(tmp_path, [*people(5), person(8, sex="boy"), person(9, birth_date="31/02/1985")])
    report = tmp_path / "report.json"
    code, out, error = lienthong(file, "--report", report)
    assert code == 0
    for told in ("new", "codes", "partial_date", "--partial", str(report), "quarantine.csv"):
        assert told in out
    found = json.loads(text(report))
    assert (found["new"], found["refused_rows"], found["sent"]) == (5, 2, True)
    assert [(row["line"], row["field"], row["reason"]) for row in found["refusals"]] == [
        (7, "sex", "codes"),
        (8, "birth_date", "partial_date"),
    ]
    assert all(row["expected"] for row in found["refusals"])
    for value in (person(8)["personal_id"], "31/02/1985", "Nguyễn"):
        assert value not in text(report) + out + error


@pytest.mark.usefixtures("ready")
def test_json_is_one_document_for_scripts(lienthong, tmp_path):
    file = export(tmp_path, people(3))
    code, out, _ = lienthong(file, "--json", "--dry-run")
    assert (code, json.loads(out)["sent"], json.loads(out)["new"]) == (0, False, 3)
    assert json.loads(lienthong(file, "--json")[1])["new"] == 3
    assert json.loads(lienthong(file, "--json")[1])["events"] == 0


@pytest.mark.usefixtures("ready")
def test_too_many_deletes_end_with_5_and_name_both_ways_out(lienthong, tmp_path):
    assert lienthong(export(tmp_path, people(10)))[0] == 0
    smaller = export(tmp_path, people(7))
    code, _, error = lienthong(smaller, "--dry-run")
    assert (code, "would have to be confirmed" in error, "3 of 10" in error) == (0, True, True)
    code, _, error = lienthong(smaller)
    assert (code, "--confirm-deletes" in error, "--partial" in error) == (5, True, True)
    assert lienthong(smaller, "--max-delete-share", "0.3")[0] == 0
    assert lienthong(export(tmp_path, people(1)), "--yes")[0] == 0


@pytest.mark.usefixtures("ready")
def test_deletes_held_back_for_an_unreadable_key_are_told(lienthong, tmp_path):
    assert lienthong(export(tmp_path, people(10)))[0] == 0
    rows = people(10)
    rows[3]["personal_id"] = "0790850000"
    code, _, error = lienthong(export(tmp_path, rows))
    assert (code, "nobody is deleted: the key of 1 row cannot be trusted" in error) == (0, True)
    error = lienthong(export(tmp_path, rows[:7]), "--json")[2]  # 30 % fewer are told, too, though nobody is deleted
    assert "4 of 10 published subjects are not in it; look whether it is whole" in " ".join(error.split())


BAD_FILES = {
    "empty file": (b"", "empty"),
    "blank file": (b"\n\n  \n", "empty"),
    "no header": (as_csv(people(2)).encode().split(b"\n", 1)[1], "no header"),
    "unknown column": (
        as_csv([{**person(1), "birth_dat": "x"}]).encode(),
        "birth_dat: resident.identity has no such field; the nearest is birth_date",
    ),
    "missing column": (b"personal_id,full_name\n1,2\n", "birth_date, sex, status is missing"),
    "column twice": (b"personal_id,full_name,full_name\n", "full_name stands twice"),
    "column without a name": (b"personal_id,full_name,\n", "column 3 has no name"),
    "UTF-16": (as_csv(people(2)).encode("utf-16"), "UTF-8"),
    "TCVN3": (as_csv([person(1), person(2)]).replace("ễ", "\xd4").encode("latin-1", "replace"), "UTF-8"),
    "semicolons": (as_csv(people(2), delimiter=";").encode(), "separated by a semicolon"),
    "quarantine as a full export": (b"_line,_field,_reason,_expected,personal_id\n", "--partial"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_file_that_cannot_be_used_ends_with_3_and_names_the_cause(lienthong, prefix, tmp_path, case):
    content, cause = BAD_FILES[case]
    file = tmp_path / "xuất dữ liệu.csv"
    file.write_bytes(content)
    code, _, error = lienthong(file, prefix=prefix)
    assert code == 3
    assert "xuất dữ liệu.csv" in error
    assert cause in error
    assert error.count("\n") == 1


def test_wrong_names_and_places_end_with_3_in_one_line(lienthong, prefix, tmp_path):
    file = export(tmp_path, people(1))
    blocker = tmp_path / "a file"
    blocker.touch()
    cases = [
        (lienthong(tmp_path / "none.csv", prefix=prefix), "no such file"),
        (lienthong(tmp_path, prefix=prefix), "no such file"),
        (lienthong(file, prefix=prefix, register="resident.shoes"), "no such register"),
        (lienthong(file, prefix=prefix, agency="H99"), "no such agency"),
        (lienthong(file, prefix=prefix, agency="H29.6"), "may not write"),
        (lienthong(file, "--delimiter", "ab", prefix=prefix), "delimiter"),
        (lienthong(file, "--state", blocker / "state", prefix=prefix), "choose another --state"),
        (lienthong(file, "--quarantine", file, prefix=prefix), "would replace the export"),
    ]
    for (code, _, error), cause in cases:
        assert (code, cause in error, error.count("\n")) == (3, True, 1), error


def test_broker_that_is_away_ends_with_4_and_an_unprepared_cluster_with_7(lienthong, topic_prefix, tmp_path):
    file = export(tmp_path, people(1))
    code, _, error = lienthong(file, servers="127.0.0.1:1")
    assert (code, "127.0.0.1:1" in error) == (4, True)
    code, _, error = lienthong(file)
    assert (code, "lienthong topics apply" in error) == (7, True)


@pytest.mark.usefixtures("ready")
def test_vietnamese_text_in_any_unicode_form_arrives_composed_and_bom_and_semicolons_are_fine(lienthong, tmp_path):
    decomposed = "Nguye\u0302\u0303n Thi\u0323 Bi\u0301ch Ngo\u0323c"
    rows = [person(1, full_name=decomposed), person(2, full_name="Đặng Thị Ðào")]
    file = tmp_path / "export.csv"
    file.write_text(as_csv(rows, delimiter=";"), encoding="utf-8-sig")
    code, out, _ = lienthong(file, "--delimiter", ";", "--json")
    assert (code, json.loads(out)["new"]) == (0, 2)
    composed = export(tmp_path, [person(1, full_name="Nguyễn Thị Bích Ngọc"), rows[1]], "composed.csv")
    assert json.loads(lienthong(composed, "--json")[1])["unchanged"] == 2


@pytest.mark.usefixtures("ready")
def test_dates_in_an_offices_own_form_are_the_same_as_iso(lienthong, tmp_path):
    iso = [
        person(1, birth_date="1985", birth_date_precision="year"),
        person(2, birth_date="1985-03", birth_date_precision="month", card_issue_date="2021-04-09"),
        person(3),
    ]
    assert lienthong(export(tmp_path, iso))[0] == 0
    columns = [name for name in person(1) if name != "birth_date_precision"]
    own = [
        person(1, birth_date="1985"),
        person(2, birth_date="3/1985", card_issue_date="9/4/2021"),
        person(3, birth_date="12/03/1985"),
    ]
    outcome = json.loads(lienthong(export(tmp_path, own, columns=columns), "--json")[1])
    assert (outcome["unchanged"], outcome["events"], outcome["refused"]) == (3, 0, {})


@pytest.mark.usefixtures("ready")
def test_every_damaged_row_is_named_with_its_line_and_kept_as_it_came(lienthong, tmp_path):
    lines = as_csv(people(8)).encode().splitlines(keepends=True)
    lines[1] = b"one cell too few" + lines[1][lines[1].index(b",") :].replace(b",", b";", 1)
    lines[3] = lines[3].replace("ễ".encode(), b"\xd4")
    lines[5] = lines[5].replace("Nguyễn".encode(), '"Nguyễn'.encode())
    file = tmp_path / "export.csv"
    file.write_bytes(b"".join(lines))
    kept, report = tmp_path / "kept.csv", tmp_path / "report.json"
    code, out, _ = lienthong(file, "--json", "--quarantine", kept, "--report", report)
    assert (code, json.loads(out)["new"]) == (0, 5)
    told = {row["line"]: row["reason"] for row in json.loads(text(report))["refusals"]}
    assert told == {2: "cells", 4: "encoding", 6: "damaged"}
    raw = kept.read_bytes().splitlines(keepends=True)
    assert [line.endswith(lines[place]) for line, place in zip(raw[1:], (1, 3, 5), strict=True)] == [True] * 3
    assert next(csv.reader([raw[0].decode()]))[:5] == ["_line", "_field", "_reason", "_expected", "personal_id"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    mended = kept.read_bytes().replace(b"\xd4", "ễ".encode()).replace('"Nguyễn'.encode(), "Nguyễn".encode())
    mended = mended.replace(b"one cell too few;", b"079085000000,")
    kept.write_bytes(mended)
    again = json.loads(lienthong(kept, "--partial", "--json")[1])
    assert (again["new"], again["refused"]) == (3, {})


@pytest.mark.usefixtures("ready")
def test_figures_of_runs_from_cron_go_on_in_a_file_whatever_became_of_them(lienthong, tmp_path):
    figures = tmp_path / "lienthong.prom"
    file = export(tmp_path, [*people(5), person(8, sex="boy")])
    assert lienthong(file, "--metrics-file", figures, "--dry-run")[0] == 0
    assert not figures.exists()
    assert [lienthong(file, "--metrics-file", figures)[0] for _ in range(2)] == [0, 0]
    (tmp_path / "shoes.csv").write_text("shoes,socks\n")
    assert lienthong(tmp_path / "shoes.csv", "--metrics-file", figures)[0] == 3
    for name, label, value in (
        ("lienthong_refused_rows_total", 'reason="codes",', " 2.0"),
        ("lienthong_published_events_total", 'op="UPSERT",', " 5.0"),
        ("lienthong_export_runs_total", 'outcome="done",', " 2.0"),
        ("lienthong_export_runs_total", 'outcome="file_refused",', " 1.0"),
        ("lienthong_export_published_timestamp_seconds", "", " "),
    ):
        assert f'{name}{{agency="H29.5",{label}register="{IDENTITY}"}}{value}' in text(figures)
    assert person(8)["personal_id"] not in text(figures)
    code, _, error = lienthong(file, "--metrics-file", tmp_path / "lienthong.txt")
    assert (code, ".prom" in error) == (3, True)
