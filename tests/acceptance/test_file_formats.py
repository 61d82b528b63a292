"""An export as an office has it, in whatever format; and each bad one refused by name before anything is sent."""

import asyncio
import json
import os
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime

import openpyxl
import pytest

from bus.cli import main
from producers.filediff.place import held
from tests.exports import as_csv, cell, export, people
from tests.producing import IDENTITY, events, person, prepare

COLUMNS = ["personal_id", "full_name", "birth_date", "sex", "nationality", "status"]
WIDTHS = (12, 30, 10, 6, 2, 10)
LAYOUT = ",".join(f"{name}:{sum(WIDTHS[:at]) + 1}:{WIDTHS[at]}" for at, name in enumerate(COLUMNS))


@pytest.fixture(scope="module")
def prefix(kafka):
    """A bus on which ten people have been published by the file that ``state`` remembers."""
    name = "file-formats"
    asyncio.run(prepare(kafka, name))
    return name


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("formats") / "state"


@pytest.fixture
def lienthong(kafka, prefix, state, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object):
        options = ["--agency", "H29.5", "--kafka", kafka, "--prefix", prefix, "--registry", f"{prefix}-schemas"]
        with pytest.raises(SystemExit) as exited:
            main(["publish", "file", IDENTITY, *map(str, arguments), *options, "--state", str(state)])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return int(exited.value.code or 0), out, error

    return run


def table(count=10):
    return [COLUMNS, *([cell(row[name]) for name in COLUMNS] for row in people(count))]


def fixed(count=10):
    lines = ("".join(text.ljust(width) for text, width in zip(row, WIDTHS, strict=True)) for row in table(count)[1:])
    return "".join(f"{line}\r\n" for line in lines)


def separated(delimiter=",", count=10):
    return as_csv(people(count), COLUMNS, delimiter)


def as_1258(text):
    """The tones of Windows-1258 are characters of their own behind the letter."""
    parts = unicodedata.normalize("NFD", text)
    for two in ("a\u0302", "e\u0302", "o\u0302", "a\u0306"):
        parts = parts.replace(two, unicodedata.normalize("NFC", two))
    return parts.encode("cp1258")


def workbook(path, rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


FORMATS = {
    "export.tsv": (lambda: separated("\t").encode(), ()),
    "export.txt": (lambda: separated("|").encode(), ("--delimiter", "|")),
    "export.unl": (lambda: fixed().encode(), ("--layout", LAYOUT)),
    "old.csv": (lambda: as_1258(separated()), ("--encoding", "windows-1258")),
    "wide.csv": (lambda: separated(";").encode("utf-16"), ("--encoding", "utf-16", "--delimiter", ";")),
}


def test_same_people_in_any_format_are_the_same_people(lienthong, kafka, prefix, tmp_path):
    first = export(tmp_path, people(10), "export.csv", columns=COLUMNS)
    assert json.loads(lienthong(first, "--json")[1])["new"] == 10
    for name, (content, options) in FORMATS.items():
        file = tmp_path / name
        file.write_bytes(content())
        outcome = json.loads(lienthong(file, *options, "--json")[1])
        assert (name, outcome["unchanged"], outcome["events"]) == (name, 10, 0)
    outcome = json.loads(lienthong(workbook(tmp_path / "export.xlsx", table()), "--json")[1])
    assert (outcome["unchanged"], outcome["events"]) == (10, 0)
    assert len(asyncio.run(events(kafka, prefix))) == 10


def cut_workbook(path):
    workbook(path, table(500))
    path.write_bytes(path.read_bytes()[:-200])


def two_sheets(path):
    book = openpyxl.Workbook()
    book.active.append(COLUMNS)
    book.create_sheet("Tháng 7").append(COLUMNS)
    book.save(path)


def older(path):
    path.write_text(separated(count=11), encoding="utf-8")
    os.utime(path, (0, 0))


def fewer(path):
    path.write_text(separated(count=7), encoding="utf-8")


BAD = {
    "half-written text": ("a.csv", lambda p: p.write_text(separated()[:-30]), (), 3, "line 11, the last"),
    "half-written at a cell": ("a.csv", lambda p: p.write_text(separated()[:-3]), (), 3, "has no line end"),
    "half-written fixed width": (
        "a.txt",
        lambda p: p.write_text(fixed()[:-50]),
        ("--layout", LAYOUT),
        3,
        "half-written",
    ),
    "half-written UTF-16": (
        *("a.csv", lambda p: p.write_bytes(separated().encode("utf-16")[:-1]), ("--encoding", "utf-16"), 3),
        "in the middle of a character",
    ),
    "half-written workbook": ("a.xlsx", cut_workbook, (), 3, "no whole XLSX workbook"),
    "no workbook": ("a.xlsx", lambda p: p.write_text(separated()), (), 3, "no whole XLSX workbook"),
    "two sheets": ("a.xlsx", two_sheets, (), 3, "--sheet"),
    "back in time": ("a.csv", older, (), 3, "--allow-older"),
    "back in time by --as-of": (
        "a.csv",
        lambda p: p.write_text(separated()),
        ("--as-of", "2001-01-01"),
        3,
        "--allow-older",
    ),
    "30 % fewer rows": ("a.csv", fewer, (), 5, "3 of 10 published subjects"),
    "marked as another encoding": (
        *("a.csv", lambda p: p.write_bytes(separated().encode("utf-16")), ("--encoding", "cp1258"), 3),
        "pass --encoding utf-16",
    ),
    "unknown encoding": ("a.csv", lambda p: p.write_text(separated()), ("--encoding", "x"), 3, "choose one of"),
    "a font for an encoding": ("a.csv", lambda p: p.write_text(separated()), ("--encoding", "TCVN3"), 3, "--mapping"),
    "layout that overlaps": ("a.txt", lambda p: p.write_text(fixed()), ("--layout", "a:1:9,b:3:1"), 3, "overlap"),
    "layout that is missing": ("a.txt", lambda p: p.write_text(fixed()), ("--format", "fixed"), 3, "layout"),
    "layout without a column": (
        *("a.txt", lambda p: p.write_text(fixed()), ("--layout", LAYOUT.rpartition(",")[0]), 3),
        "status is missing",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_export_is_named_in_one_line_with_its_remedy_and_nothing_is_sent(lienthong, kafka, prefix, tmp_path, case):
    name, write, options, code, cause = BAD[case]
    before = len(asyncio.run(events(kafka, prefix)))
    if not before:
        assert lienthong(export(tmp_path, people(10), "first.csv", columns=COLUMNS))[0] == 0
        before = 10
    file = tmp_path / name
    write(file)
    found, _, error = lienthong(file, *options)
    assert (found, cause in error, error.count("\n")) == (code, True, 1), error
    assert len(asyncio.run(events(kafka, prefix))) == before


def test_older_export_goes_out_where_that_is_asked_for_or_its_true_date_is_told(kafka, topic_prefix, tmp_path, capsys):
    asyncio.run(prepare(kafka, topic_prefix))
    options = ["--agency", "H29.5", "--kafka", kafka, "--prefix", topic_prefix, "--registry", f"{topic_prefix}-schemas"]

    def run(*more):
        with pytest.raises(SystemExit) as exited:
            main(["publish", "file", IDENTITY, *more, *options, "--state", str(tmp_path / "state"), "--json"])
        capsys.readouterr()
        return int(exited.value.code or 0)

    file = export(tmp_path, people(2))
    assert run(str(file), "--as-of", "2026-07-06T02:00:00") == 0
    changed = export(tmp_path, [person(0), person(1, full_name="Lê Khác")])
    assert run(str(changed), "--as-of", "2026-07-05T23:00:00") == 3
    assert run(str(changed), "--as-of", "2026-07-05T20:00:00Z", "--allow-older") == 0
    last = max(asyncio.run(events(kafka, topic_prefix)), key=lambda event: event.version)
    assert last.occurred_at == datetime(2026, 7, 5, 20, tzinfo=UTC)


def test_second_export_at_the_same_time_is_told_which_process_is_at_work(kafka, prefix, state, tmp_path):
    file = export(tmp_path, people(10))
    state.mkdir(mode=0o700, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "bus",
        "publish",
        "file",
        IDENTITY,
        str(file),
        "--agency",
        "H29.5",
        "--kafka",
        kafka,
    ]
    command += ["--prefix", prefix, "--registry", f"{prefix}-schemas", "--state", str(state)]
    with held(state, f"{prefix}.{IDENTITY}"):
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("process")) == (4, 1)
    assert str(os.getpid()) in done.stderr
