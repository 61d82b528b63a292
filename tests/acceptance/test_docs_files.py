"""Every command of docs/files.md, run as it stands, in the order in which it says it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import openpyxl
import pytest

from bus.cli import main
from producers.filediff.layout import layout_named
from producers.inbox.settings import InboxSettings
from tests.exports import as_csv, cell, people
from tests.producing import IDENTITY, RESIDENCE, prepare

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
COLUMNS = ["personal_id", "full_name", "birth_date", "sex", "nationality", "status"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands(block):
    return [line.split("#")[0].strip() for line in blocks("sh")[block].splitlines()]


@pytest.fixture
def office(kafka, topic_prefix, tmp_path, monkeypatch):
    """A directory with the files that the page speaks of, and a bus."""
    asyncio.run(prepare(kafka, topic_prefix, [IDENTITY, RESIDENCE]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIENTHONG_KAFKA", kafka)
    rows = people(5)
    for name, delimiter in (("export.csv", ","), ("export.tsv", "\t"), ("old.csv", ";"), ("some.csv", ",")):
        (tmp_path / name).write_text(
            as_csv(rows, COLUMNS, delimiter).replace("Nguyễn Văn", "Lê Thi" if name == "old.csv" else "Nguyễn Văn"),
            encoding="cp1258" if name == "old.csv" else "utf-8",
        )
    book = openpyxl.Workbook()
    book.active.append(COLUMNS)
    for row in rows:
        book.active.append([cell(row[name]) for name in COLUMNS])
    book.save(tmp_path / "export.xlsx")
    layout, config = blocks("toml")
    (tmp_path / "layout.toml").write_text(layout, encoding="utf-8")
    (tmp_path / "inbox.toml").write_text(
        f'prefix = "{topic_prefix}"\nkafka.bootstrap_servers = "{kafka}"\nregistry.topic = "{topic_prefix}-schemas"\n'
        + config.replace("9465", "0"),
        encoding="utf-8",
    )
    places = layout_named(str(tmp_path / "layout.toml")).column
    lines = ("".join(cell(row[place.name]).ljust(place.width) for place in places) for row in rows)
    (tmp_path / "export.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for file in tmp_path.iterdir():
        os.utime(file, (1_780_000_000, 1_780_000_000))  # nobody goes back in time
    return ["--prefix", topic_prefix, "--registry", f"{topic_prefix}-schemas"]


def words(line, shared):
    more = [] if line.startswith("lienthong quality") or "--config" in line else shared
    return [*line.replace('"', "").replace("9465", "0").split()[1:], *more]


def test_every_command_on_files_runs_as_it_stands(office, capsys):
    told = []
    for line in commands(0):
        with pytest.raises(SystemExit) as exited:
            main(words(line, office))
        out, error = capsys.readouterr()
        assert not exited.value.code, f"{line}: {error}"
        told.append(out)
    assert "rows read" in told[0]
    assert "resident.identity by H29.5" in told[-1]


def test_every_command_on_inboxes_runs_as_it_stands_until_it_is_told_to_stop(office):
    make, *watching = commands(1)
    assert make == "mkdir inbox"
    Path("inbox").mkdir()
    for line in watching:
        command = [sys.executable, "-m", "bus", *words(line, office)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            first = process.stderr.readline()
            if "--once" not in line:
                process.send_signal(signal.SIGTERM)
            _, error = process.communicate(timeout=60)
        assert ("inbox_started" in first, process.returncode) == (True, 0), first + error


def test_config_of_the_page_says_what_the_page_says():
    settings = InboxSettings.model_validate(tomllib.loads(blocks("toml")[1]))
    assert [(route.register_name, str(route.folder), route.encoding) for route in settings.route] == [
        (IDENTITY, ".", None),
        (RESIDENCE, "residence", "cp1258"),
    ]
