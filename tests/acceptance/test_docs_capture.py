"""Every command of docs/capture.md, run as it stands, in its order; and what the command says to bad input."""

import asyncio
import json
import re
from pathlib import Path

import psycopg
import pytest

from bus.cli import main
from tests.capture import MAPPING, TABLE, people, table, topic
from tests.producing import prepare

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "capture.md").read_text(encoding="utf-8")
URL = "postgresql://owner@127.0.0.1:5432/office"


def commands(block):
    return re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[block].splitlines()


def run(capsys, *words):
    with pytest.raises(SystemExit) as exited:
        main(words)
    return exited.value.code or 0, *capsys.readouterr()


@pytest.fixture
def office(kafka, topic_prefix, postgres_database, monkeypatch):
    """The page's database with three people, and a bus."""
    asyncio.run(prepare(kafka, topic_prefix))
    monkeypatch.chdir(ROOT)
    for name, value in (("KAFKA", kafka), ("PREFIX", topic_prefix), ("REGISTRY", f"{topic_prefix}-schemas")):
        monkeypatch.setenv(f"LIENTHONG_{name}", value)
    with psycopg.connect(postgres_database) as connection:
        connection.execute(TABLE)
        people(connection, range(1, 4))
    return postgres_database


def test_every_command_on_triggers_runs_as_it_stands(office, kafka, topic_prefix, capsys):
    told = []
    for line in commands(0):
        if "outbox relay" in line:
            with psycopg.connect(office) as connection:
                connection.execute("UPDATE persons SET ten = 'Đổi' WHERE id = 1")
        code, out, error = run(capsys, *line.replace(URL, office).split()[1:])
        assert code == 0, f"{line}: {error}"
        told.append(out)
    assert "CREATE FUNCTION" in told[0]
    assert "3 rows read, 3 put into the outbox" in told[2]
    assert "triggers" in told[4]
    assert topic(kafka, topic_prefix)[0] == table(office)


def test_every_command_on_the_log_runs_as_it_stands(office, kafka, topic_prefix, capsys):
    for line in commands(1):
        code, out, error = run(capsys, *line.replace(URL, office).split()[1:])
        assert code == 0, f"{line}: {error}"
        if "--json" in line:
            (status,) = json.loads(out)
            assert (status["way"], status["snapshot"], status["slot"]["state"]) == ("log", "done", "reserved")
    assert topic(kafka, topic_prefix)[0] == table(office)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"--table": "person"}, "no such table; the nearest is persons"),
        ({"--register": "resident.identy"}, "resident.identy"),
        ({"--agency": "H29.6"}, "H29.5"),
        ({"--mapping": "docs/examples/police.toml"}, "has no column"),
        ({"--mapping": "absent.toml"}, "absent.toml"),
        ({"--url": "sqlite:///:memory:"}, "capture is for PostgreSQL"),
    ],
)
def test_wrong_input_is_told_in_one_line(postgres_database, monkeypatch, capsys, changed, told):
    monkeypatch.chdir(ROOT)
    with psycopg.connect(postgres_database) as connection:
        connection.execute(TABLE)
    given = {"--url": postgres_database, "--table": "persons", "--register": "resident.identity"}
    given |= {"--agency": "H29.5", "--mapping": str(MAPPING)} | changed
    code, out, error = run(capsys, "capture", "install", *(word for option in given.items() for word in option))
    assert (code, out) == (3, "")
    assert error.count("\n") == 1
    assert told in error


def test_outbox_is_not_taken_away_under_its_triggers(office, capsys):
    install = commands(0)[1].replace(URL, office).split()[1:]
    assert run(capsys, *install)[0] == 0
    code, _, error = run(capsys, "outbox", "uninstall", "--url", office)
    assert (code, "lienthong capture uninstall" in error) == (3, True)
    assert run(capsys, "capture", "snapshot", "--url", office, "--table", "absent")[0] == 3
    code, _, error = run(capsys, "capture", "run", *install[2:8], "--agency", "H29.5")
    assert (code, "captured by triggers" in error) == (3, True)
