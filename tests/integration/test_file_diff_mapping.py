"""An export in the office's own columns, codes and encoding, against a real Kafka."""

import csv
import json
import logging
import shutil
import stat
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bus.cli import main
from bus.errors import FileRefused, InputRefused
from producers.cleaning.fonts import Encoding, decoding
from tests.exports import run, text
from tests.producing import events, prepare

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "police.toml"
HEADER = ["Sè CCCD", "HO", "DEM", "TEN", "NGAY_SINH", "GT", "NOI_SINH", "QUOC_TICH", "NGAY_CAP"]
NGOC = ["079185000001", "NguyÔn", "ThÞ BÝch", "Ngäc", "12/3/1985", "2", "Bµ  RÞa", "VN", "-"]
DAO = ["079190000002", "trÇn", "thÞ", "®µo", "1990", "2", "NULL", "Lµo", "44197"]
LOST = ["079090000003", "Lª", "V¨n", "T\u00b8m", "31/02/1990", "1", "", "", ""]


@pytest.fixture
async def bus(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return kafka, topic_prefix


def tcvn3(directory, *rows, name="export.csv"):
    path = directory / name
    with path.open("w", encoding="cp1252", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def lines(path):
    return [json.loads(line) for line in text(path).splitlines()]


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def correct(path, wrong, right):
    path.write_text(path.read_text(encoding="utf-8").replace(wrong, right), encoding="utf-8")


def counted(name, prefix_label):
    return REGISTRY.get_sample_value(name, {"register": "resident.identity", "agency": "H29.5", **prefix_label}) or 0


async def test_tcvn3_export_becomes_clean_states_and_every_change_is_on_file(bus, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    before = counted("lienthong_cleaned_values_total", {"rule": "tcvn3"})
    outcome = await run(*bus, tmp_path, tcvn3(tmp_path, NGOC, DAO), mapping=EXAMPLE)
    assert (outcome.new, outcome.refused_rows) == (2, 0)
    ngoc, dao = sorted((event.state for event in await events(*bus)), key=lambda state: state["personal_id"])
    assert (ngoc["full_name"], ngoc["birth_date"], ngoc["birth_date_precision"]) == (
        "Nguyễn Thị Bích Ngọc",
        "1985-03-12",
        "day",
    )
    assert (ngoc["birth_place"], ngoc["nationality"], ngoc["sex"]) == ("Bà Rịa", "VN", "female")
    assert (dao["full_name"], dao["birth_date_precision"], dao["nationality"]) == ("Trần Thị Đào", "year", "LA")

    told = lines(outcome.changes)
    assert {"line": 2, "field": "birth_date", "from": "12/3/1985", "to": "1985-03-12", "rule": "date"} in told
    assert sum(outcome.cleaned.values()) == len(told)
    assert mode(outcome.changes) == 0o600
    report = json.loads(text(outcome.report))
    assert report["cleaned"] == outcome.cleaned
    assert outcome.cleaned["tcvn3"] == counted("lienthong_cleaned_values_total", {"rule": "tcvn3"}) - before
    for value in ("Nguyễn", "Ngäc", "079185000001", "12/3/1985"):
        assert value not in caplog.text + text(outcome.report)


async def test_rows_are_read_again_only_when_they_or_the_mapping_change(bus, tmp_path):
    file, own = tcvn3(tmp_path, NGOC, DAO), tmp_path / "own.toml"
    shutil.copy(EXAMPLE, own)
    await run(*bus, tmp_path, file, mapping=own)
    again = await run(*bus, tmp_path, file, mapping=own)
    assert (again.events, again.same_text, again.cleaned) == (0, 2, {})
    correct(own, ', "title"]', "]")
    changed = await run(*bus, tmp_path, file, mapping=own)
    assert (changed.same_text, changed.changed, changed.unchanged) == (0, 1, 1)


async def test_quarantine_has_the_offices_own_columns_and_is_fed_in_again_as_it_is(bus, tmp_path):
    outcome = await run(*bus, tmp_path, tcvn3(tmp_path, NGOC, LOST), mapping=EXAMPLE)
    assert (outcome.new, outcome.refused_rows, dict(outcome.refused)) == (1, 1, {"date": 1})
    kept = Path(outcome.quarantine)
    [row] = csv.DictReader(text(kept).splitlines())
    assert (row["_line"], row["_field"], row["_reason"]) == ("3", "NGAY_SINH", "date")
    assert [row[name] for name in HEADER] == LOST
    assert "dd/mm/yyyy, mm/yyyy, yyyy" in row["_expected"]

    correct(kept, "31/02/1990", "28/02/1990")
    mended = await run(*bus, tmp_path, kept, mapping=EXAMPLE, partial=True)
    assert (mended.new, mended.refused_rows) == (1, 0)
    names = {event.state["full_name"] for event in await events(*bus)}
    assert names == {"Nguyễn Thị Bích Ngọc", "Lê Văn Tám"}


async def test_whoever_is_refused_by_cleaning_is_not_gone(bus, tmp_path):
    await run(*bus, tmp_path, tcvn3(tmp_path, NGOC, DAO), mapping=EXAMPLE)
    wrong = [*DAO[:4], "31/02/1990", *DAO[5:]]
    outcome = await run(*bus, tmp_path, tcvn3(tmp_path, NGOC, wrong), mapping=EXAMPLE)
    assert (outcome.gone, outcome.refused_rows, outcome.events) == (0, 1, 0)


async def test_state_from_the_tables_own_inverse_is_the_same_text(bus, tmp_path):
    """What TCVN3 can write at all, an export in it brings back letter by letter."""
    from viparse.normalize.encodings import CHARMAPS  # noqa: PLC0415

    back = {new: old for old, new in CHARMAPS["tcvn3"].pairs}
    name = "Đặng Thị Ánh Tuyết ở ấp Mỹ Thuận, xã Hồ Thị Kỷ".replace("Á", "á")
    row = [*NGOC[:6], "".join(back.get(letter, letter) for letter in name), *NGOC[7:]]
    await run(*bus, tmp_path, tcvn3(tmp_path, row), mapping=EXAMPLE)
    [event] = await events(*bus)
    assert event.state["birth_place"] == name
    assert decoding(Encoding.UTF8) == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            EXAMPLE.read_text(encoding="utf-8").replace('"GT"', '"GIOI"'),
            "fields.sex.from: export.csv has no column GIOI",
        ),
        (
            EXAMPLE.read_text(encoding="utf-8").replace('"male"', '"man"'),
            "fields.sex.codes: man is not in the list sex",
        ),
        (EXAMPLE.read_text(encoding="utf-8").replace("birth_place =", "birth_plase ="), "the nearest is birth_place"),
    ],
)
async def test_mapping_that_does_not_fit_is_told_before_anything_is_sent(bus, tmp_path, content, told):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(content, encoding="utf-8")
    with pytest.raises(InputRefused) as found:
        await run(*bus, tmp_path, tcvn3(tmp_path, NGOC), mapping=wrong)
    assert told in str(found.value)
    assert await events(*bus) == []


async def test_utf8_export_under_a_mapping_of_tcvn3_is_refused(bus, tmp_path):
    file = tmp_path / "export.csv"
    file.write_text("\ufeff" + ",".join(HEADER), encoding="utf-8")
    with pytest.raises(FileRefused, match="UTF-8"):
        await run(*bus, tmp_path, file, mapping=EXAMPLE)


def test_command_line_shows_what_was_cleaned_and_where_it_is_told(bus, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    kafka, prefix = bus
    doubtful = ["79185000001", *NGOC[1:5], "9", *NGOC[6:]]
    options = ["--mapping", EXAMPLE, "--state", tmp_path / "state", "--kafka", kafka, "--prefix", prefix]
    command = ["publish", "file", "resident.identity", tcvn3(tmp_path, doubtful), "--agency", "H29.5", *options]
    with pytest.raises(SystemExit) as exited:
        main([*map(str, command), "--registry", f"{prefix}-schemas", "--dry-run"])
    out, error = capsys.readouterr()
    assert not exited.value.code
    for word in (
        "Cleaned",
        "tcvn3",
        "To be looked at",
        "lost_zeros",
        "codes_otherwise",
        "changes.jsonl",
        "reviews.jsonl",
    ):
        assert word in out
    assert "Ngọc" not in out + error


async def test_export_without_a_header_is_refused_and_its_first_row_is_not_told(bus, tmp_path):
    file = tmp_path / "export.csv"
    file.write_text("079085000001,Nguyễn,Mẫu,12/03/1985,1\n079085000002,Trần,Thử,01/02/1990,2\n", encoding="utf-8")
    with pytest.raises(FileRefused, match="no header") as found:
        await run(*bus, tmp_path, file, mapping=EXAMPLE, encoding="utf-8")
    assert not any(cell in str(found.value) for cell in ("079085000001", "Nguyễn", "Mẫu", "1985"))
