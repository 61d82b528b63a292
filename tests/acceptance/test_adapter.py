"""``lienthong adapter``: a generated project runs as it stands, and ``check`` names what is wrong before it goes live."""

import asyncio
import json
import re
import shutil
import tomllib
from configparser import ConfigParser
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from bus.catalog import load_catalog
from bus.cli import main
from bus.cli.app import app
from bus.schema import load_codes, load_register
from producers.adapter.draft import column_of, draft
from producers.adapter.sample import sample
from producers.filediff.check import check
from producers.filediff.parse import parse
from producers.filediff.reader import Chunk
from producers.mapping import Mapping
from tests.capture import MAPPING, TABLE, people
from tests.outbox import installed
from tests.producing import IDENTITY, RESIDENCE, events, prepare, records, registry_settings
from tests.typing_in import commands, type_in

REGISTERS = sorted(load_catalog().registers)
FINANCE = ("business.registration",)


@pytest.fixture
def lienthong(kafka, topic_prefix, tmp_path, capsys, monkeypatch):
    """Runs ``adapter …`` in the test's directory; gives exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str]:
        bus = ["--kafka", kafka, "--prefix", topic_prefix, "--registry", registry_settings(topic_prefix).topic]
        with pytest.raises(SystemExit) as exited:
            main(["adapter", *map(str, words), *(bus if words[0] == "new" else [])])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return int(exited.value.code or 0), out + error

    return run


def by_hand(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the project's README, in its order, as somebody who follows it types them."""
    monkeypatch.chdir(directory)
    for line in commands(Path("README.md").read_text(encoding="utf-8")):
        assert type_in(line, monkeypatch) == 0, line


@pytest.mark.parametrize("register", REGISTERS)
def test_draft_of_every_register_fits_it_and_every_row_of_its_sample_goes_through(register):
    catalog, schema = load_catalog(), load_register(register)[-1]
    chosen = catalog.register(register)
    agency = catalog.writers(chosen)[0]
    rows = sample(schema, agency)
    assert rows.height or register == "code.procedure"
    mapping = Mapping.of(tomllib.loads(draft(schema, load_codes(), "a title")), schema)
    cleaned = mapping.apply(rows.rename(column_of))
    chunk = Chunk(rows.to_series().to_frame().with_row_index().to_series().cast(int), cleaned.frame)
    checked = check(chunk, parse(chunk, schema), chosen, schema, agency)
    assert (checked.refused.to_dicts(), len(checked.good)) == ([], rows.height)


def test_project_of_exports_runs_as_it_stands_and_publishes_its_sample(
    lienthong, kafka, topic_prefix, tmp_path, monkeypatch
):
    asyncio.run(prepare(kafka, topic_prefix, [IDENTITY, "resident.sensitive", RESIDENCE]))
    assert lienthong("new", "--agency", "H29.5", "--dir", "police")[0] == 0
    by_hand(tmp_path / "police", monkeypatch)
    assert len(asyncio.run(events(kafka, topic_prefix))) == 8
    assert asyncio.run(events(kafka, topic_prefix, RESIDENCE))


def test_project_of_an_outbox_runs_as_it_stands_and_publishes_its_sample(
    lienthong, kafka, topic_prefix, tmp_path, monkeypatch
):
    asyncio.run(prepare(kafka, topic_prefix, FINANCE))
    assert lienthong("new", "--agency", "H29.2", "--kind", "outbox")[0] == 0
    by_hand(tmp_path / "adapter-h29-2", monkeypatch)
    assert len(asyncio.run(events(kafka, topic_prefix, FINANCE[0], "H29.2"))) == 8


def test_nothing_is_overwritten_unless_forced_and_nobody_gets_a_register_that_is_another_s(lienthong, tmp_path):
    assert lienthong("new", "--agency", "H29.101", "--dir", "ward")[0] == 0
    mapping = tmp_path / "ward" / "mapping.toml"
    mapping.write_text("mine", encoding="utf-8")
    code, told = lienthong("new", "--agency", "H29.101", "--dir", "ward")
    assert (code, "--force" in told, mapping.read_text(encoding="utf-8")) == (5, True, "mine")
    assert lienthong("new", "--agency", "H29.101", "--dir", "ward", "--force")[0] == 0
    assert mapping.read_text(encoding="utf-8") != "mine"
    for words, cause in (
        (["--agency", "H29.101", "--register", IDENTITY], "may not write"),
        (["--agency", "H99"], "no such agency"),
    ):
        code, told = lienthong("new", *words, "--dir", "other")
        assert (code, cause in told, (tmp_path / "other").exists()) == (3, True, False)


def test_units_start_commands_that_exist_and_give_up_on_what_no_restart_mends(lienthong, tmp_path):
    for kind in ("file", "outbox", "capture"):
        assert lienthong("new", "--agency", "H29.5", "--kind", kind, "--register", IDENTITY, "--dir", kind)[0] == 0
        units = list((tmp_path / kind).glob("*.service"))
        assert units
        for file in units:
            unit = ConfigParser(interpolation=None, strict=True)
            unit.read(file, encoding="utf-8")
            words = unit["Service"]["ExecStart"].split()
            assert words[:2] == ["/opt/lienthong/bin/lienthong", "inbox" if kind == "file" else "outbox"]
            shown = CliRunner().invoke(app, [*words[1:3], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
            assert all(word in shown.output for word in words if word.startswith("--"))
            assert unit["Service"]["RestartPreventExitStatus"] == "3 7"
            assert "$" not in file.read_text(encoding="utf-8")


def test_check_names_each_thing_that_is_wrong_and_sends_nothing(lienthong, kafka, topic_prefix, tmp_path, monkeypatch):
    assert lienthong("new", "--agency", "H29.5", "--register", IDENTITY, "--dir", "police")[0] == 0
    monkeypatch.chdir(tmp_path / "police")
    found = checked(lienthong, 7)
    assert "lienthong topics apply" in found[IDENTITY, "topic"]["told"]
    assert "lienthong schemas publish" in found[IDENTITY, "schema"]["told"]
    assert found[IDENTITY, "sample"]["verdict"] == "unknown"

    asyncio.run(prepare(kafka, topic_prefix))
    found = checked(lienthong, 0)
    assert {each["verdict"] for each in found.values()} == {"fine", "look"}
    assert "as shipped" in found[IDENTITY, "code lists"]["told"]
    assert "8 of 8 rows" in found[IDENTITY, "sample"]["told"]

    file = Path("sample/resident.identity.csv")
    before = file.read_text(encoding="utf-8")
    file.write_text(before.replace(",male,", ",boy,", 2).replace("Phan Quốc", "Phan   Quốc"), encoding="utf-8")
    code, told = lienthong("check", "--json")
    effects = {(each["effect"], each["field"], each["rule"]): each for each in json.loads(told)["sample"]}
    assert (code, effects["refused", "sex", "codes"]["rows"], effects["changed", "full_name", "spaces"]["first"]) == (
        1,
        2,
        2,
    )
    assert "Phan" not in told
    code, told = lienthong("check")
    assert (code, "maps; add it there" in told, "Phan" in told) == (1, True, False)

    code, told = lienthong("check", "--sample", "nowhere.csv")
    assert (code, "no such file" in told) == (3, True)
    file.write_text(before.replace("SEX", "GT"), encoding="utf-8")
    assert "has no column SEX" in checked(lienthong, 3)[IDENTITY, "mapping"]["told"]
    Path("mapping.toml").write_text('register = "resident.identity"\n[fields]\nsex = "SEX"\n', encoding="utf-8")
    assert "cannot be without it" in checked(lienthong, 3)[IDENTITY, "mapping"]["told"]
    assert asyncio.run(records(kafka, f"{topic_prefix}.{IDENTITY}", isolation="read_uncommitted")) == []

    config = Path("adapter.toml")
    config.write_text(config.read_text(encoding="utf-8").replace(kafka, "127.0.0.1:1"), encoding="utf-8")
    assert "127.0.0.1:1" in checked(lienthong, 4)["bus", "broker"]["told"]
    config.write_text('kind = "fax"\n', encoding="utf-8")
    assert lienthong("check")[0] == 3


def checked(lienthong, code):
    found, told = lienthong("check", "--json")
    assert found == code, told
    return {(each["about"], each["point"]): each for each in json.loads(told)["findings"]}


def test_check_of_an_outbox_names_missing_tables_and_rights_and_judges_rows_that_wait(
    lienthong, kafka, topic_prefix, postgres_database, tmp_path, monkeypatch
):
    asyncio.run(prepare(kafka, topic_prefix))
    assert lienthong("new", "--agency", "H29.5", "--kind", "outbox", "--register", IDENTITY, "--dir", "police")[0] == 0
    monkeypatch.chdir(tmp_path / "police")
    assert "LIENTHONG_OUTBOX_URL" in lienthong("check")[1]
    monkeypatch.setenv("LIENTHONG_OUTBOX_URL", postgres_database)
    assert "lienthong outbox install" in checked(lienthong, 3)["database", "outbox"]["told"]
    installed(postgres_database).dispose()
    row = sql.SQL(
        "INSERT INTO lienthong_outbox (id, aggregatetype, aggregateid, type, payload) "
        "VALUES (gen_random_uuid(), 'resident.identity', '079190000004', 'UPSERT', '{{}}')"
    ).as_string()
    user = f"clerk_{topic_prefix}"
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(row.replace("{{}}", "{}"))
        connection.execute(
            f"CREATE ROLE {user} LOGIN PASSWORD 'x'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"
        )
    found = checked(lienthong, 1)
    assert "0 of 1 waiting rows (1 in JSON" in found[IDENTITY, "sample"]["told"]
    poor = make_url(postgres_database).set(username=user, password="x").render_as_string(hide_password=False)
    monkeypatch.setenv("LIENTHONG_OUTBOX_URL", poor)
    told = checked(lienthong, 3)["database", "rights"]["told"]
    assert re.search(r"missing rights: permission denied for table lienthong_\w+; .* GRANT SELECT", told), told
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM lienthong_outbox WHERE sent_at IS NULL").fetchone() == (1,)
        connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")
    assert asyncio.run(records(kafka, f"{topic_prefix}.{IDENTITY}", isolation="read_uncommitted")) == []


def test_project_of_a_capture_is_looked_over_and_publishes_its_table(
    lienthong, kafka, topic_prefix, postgres_database, tmp_path, monkeypatch
):
    asyncio.run(prepare(kafka, topic_prefix))
    words = ("--agency", "H29.5", "--kind", "capture", "--register", IDENTITY, "--dir", "police")
    assert lienthong("new", *words)[0] == 0
    project = tmp_path / "police"
    monkeypatch.chdir(project)
    file = project / "adapter.env"
    given = file.read_text(encoding="utf-8").replace("postgresql://agency@127.0.0.1:5432/agency", postgres_database)
    file.write_text(given, encoding="utf-8")
    monkeypatch.setenv("LIENTHONG_OUTBOX_URL", postgres_database)
    assert "no such table" in checked(lienthong, 3)[IDENTITY, "mapping"]["told"]
    with psycopg.connect(postgres_database) as connection:
        connection.execute(TABLE)
        people(connection, range(1, 4))
    assert "has no column" in checked(lienthong, 3)[IDENTITY, "mapping"]["told"]
    shutil.copy(MAPPING, project / "mapping.toml")
    assert "3 of 3 rows of persons" in checked(lienthong, 0)[IDENTITY, "sample"]["told"]
    by_hand(project, monkeypatch)
    assert len(asyncio.run(events(kafka, topic_prefix))) == 3
