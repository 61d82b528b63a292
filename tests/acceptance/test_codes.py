"""``lienthong codes``: lists published as registers, replicated, and used by adapters from a replica or a directory."""

import asyncio
import json
import shutil
from pathlib import Path

import psycopg
import pytest

from bus.cli import main
from producers import Publisher
from tests.consuming import catch_up, replica_settings
from tests.producing import RESIDENCE, events, prepare, publisher_settings, registry_settings

SCHEMAS = Path(__file__).parents[2] / "schemas"
WARD, FORM, COUNTRY = "code.ward", "code.legal_form", "code.country"
TAN_DINH, NEW = "26737", "29999"
HOMES = f"""\
register = "{RESIDENCE}"
[fields]
personal_id = {{ from = "cccd" }}
"permanent_address.country" = {{ constant = "XZ" }}
"""


@pytest.fixture
def lienthong(kafka, topic_prefix, tmp_path, capsys, monkeypatch):
    """Runs a command on this test's bus; gives exit code and output."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LIENTHONG_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("LIENTHONG_PREFIX", topic_prefix)
    monkeypatch.setenv("LIENTHONG_REGISTRY", registry_settings(topic_prefix).topic)

    def run(*words: object, servers: str = kafka) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exited:
            main([*map(str, words), "--kafka", servers])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return int(exited.value.code or 0), out if "--json" in words else out + error

    return run


@pytest.fixture
def later(tmp_path):
    """A schemas folder in which one ward has ended and another one begins."""
    folder = tmp_path / "schemas"
    shutil.copytree(SCHEMAS, folder)
    table = folder / "codes" / "ward.tsv"
    text = table.read_text(encoding="utf-8")
    ended = text.replace(f"{TAN_DINH}\t2025-07-01\t\t", f"{TAN_DINH}\t2025-07-01\t2026-06-30\t")
    assert ended != text
    table.write_text(f"{ended}{NEW}\t2026-07-01\t\tPhường Mới Lập\tward\t\t\n", encoding="utf-8")
    return folder


def homes(directory: Path) -> Path:
    """Two people: one in the ward that ends, one in the ward that begins."""
    file = directory / "homes.csv"
    rows = [f"079085000001,79,{TAN_DINH}", f"079085000002,79,{NEW}"]
    columns = "personal_id,permanent_address.province_code,permanent_address.ward_code"
    file.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return file


def test_only_changes_are_sent_and_an_adapter_accepts_a_ward_that_begins_and_refuses_one_that_ended(
    lienthong, kafka, topic_prefix, postgres_database, tmp_path, later
):
    asyncio.run(prepare(kafka, topic_prefix, [WARD, FORM, RESIDENCE]))
    code, out = lienthong("codes", "publish", "ward", "legal_form", "--json")
    assert (code, [(each["register"], each["agency"], each["refused_rows"]) for each in json.loads(out)]) == (
        0,
        [(WARD, "H29.1", 0), (FORM, "H29.1", 0)],
    )
    told = ("codes", "publish", "ward", "--schemas", later, "--json")
    found = [json.loads(lienthong(*told, *more)[1])[0] for more in (["--dry-run"], [], [])]
    counts = [(each["new"], each["changed"], each["gone"]) for each in found]
    assert counts == [(1, 1, 0), (1, 1, 0), (0, 0, 0)]

    for database in (f"sqlite:///{tmp_path}/replica.db", postgres_database):
        asyncio.run(catch_up(replica_settings(kafka, topic_prefix, database, [WARD])))
    publish = ("publish", "file", RESIDENCE, homes(tmp_path), "--agency", "H29.5", "--dry-run", "--json")
    for codes, day, refused in (
        (None, None, 3),
        (f"sqlite:///{tmp_path}/replica.db", None, 2),
        (postgres_database, None, 2),
        (tmp_path / "codes", None, 2),
        (tmp_path / "codes", "2026-03-01", 3),
    ):
        more = [] if codes is None else ["--codes", codes]
        found = json.loads(lienthong(*publish, *more, *(["--codes-on", day] if day else []))[1])
        report = json.loads(Path(found["report"]).read_text(encoding="utf-8"))
        assert [row["line"] for row in report["refusals"]] == [refused], found["codes"]
        assert ("ward as published" in found["codes"]) == (codes is not None)

    asyncio.run(_accepts_new(kafka, topic_prefix, tmp_path / "codes"))
    look = ("codes", "list", "ward", "--at", "2026-08-01", "--codes", tmp_path / "codes", "--json")
    away = lienthong(*look, servers="127.0.0.1:1")
    there = json.loads(away[1])
    assert "could not be read (broker_unavailable)" in there["codes"]
    assert {row["code"] for row in there["entries"]} & {TAN_DINH, NEW} == {NEW}


async def _accepts_new(kafka, prefix, codes):
    state = {"personal_id": "079085000003", "permanent_address": {"province_code": "79", "ward_code": NEW}}
    async with Publisher(publisher_settings(kafka, prefix, codes=str(codes))) as publisher:
        await publisher.publish(RESIDENCE, state)


@pytest.mark.parametrize("way", ["triggers", "log"])
def test_captured_table_goes_by_the_published_lists(lienthong, kafka, topic_prefix, postgres_database, tmp_path, way):
    """Its mapping names a country that only the published list has."""
    asyncio.run(prepare(kafka, topic_prefix, [COUNTRY, RESIDENCE]))
    shutil.copytree(SCHEMAS, tmp_path / "schemas")
    countries, mapping = tmp_path / "schemas" / "codes" / "country.toml", tmp_path / "homes.toml"
    countries.write_text(countries.read_text("utf-8").replace('code = "ZW"', 'code = "XZ"'), "utf-8")
    lienthong("codes", "publish", "country", "--schemas", tmp_path / "schemas")
    mapping.write_text(HOMES, "utf-8")
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE homes (cccd text PRIMARY KEY)")
        connection.execute("INSERT INTO homes VALUES ('079085000001')")
    of = ("--url", postgres_database, "--table", "homes", "--register", RESIDENCE, "--agency", "H29.5")
    asked, codes = (*of, "--mapping", mapping, "--way", way), ("--codes", tmp_path / "codes")
    for command in ("plan", "install"):
        code, out = lienthong("capture", command, *asked)
        assert (code, "XZ is not in the list country" in out) == (3, True)
        assert lienthong("capture", command, *asked, *codes)[0] == 0
    if way == "log":
        steps = [("capture", "run", *of, "--until-current")]
    else:
        steps = [("capture", "snapshot", *of[:4]), ("outbox", "relay", *of[:2], *of[4:], "--until-empty")]
    for step in steps:
        assert lienthong(*step, *codes)[0] == 0
    [found] = asyncio.run(events(kafka, topic_prefix, RESIDENCE))
    assert found.state["permanent_address"]["country"] == "XZ"


def test_a_code_is_shown_with_each_unit_that_it_named(lienthong):
    code, out = lienthong("codes", "show", TAN_DINH, "--json")
    assert [row["name"] for row in json.loads(out)["entries"]] == ["Phường Đa Kao", "Phường Tân Định"]
    code, out = lienthong("codes", "show", TAN_DINH, "--at", "2025-06-30")
    assert (code, "Đa Kao" in out, "Tân Định" in out) == (0, True, False)
    assert lienthong("codes", "show", "nothing")[0] == 1


@pytest.mark.parametrize(
    ("words", "code", "cause"),
    [
        (["codes", "list", "shoes"], 3, "no such code list"),
        (["codes", "list", "--codes", "mysql://somewhere/else"], 3, "not a URL of a replica"),
        (["codes", "list", "--codes", "sqlite:///nowhere.db"], 4, "there is no replica yet"),
        (["codes", "publish", "procedure"], 3, "lienthong publish file code.procedure"),
        (["codes", "publish", "sex"], 3, "no such register"),
    ],
)
def test_what_is_not_there_is_named_with_the_remedy(lienthong, words, code, cause):
    found, told = lienthong(*words)
    assert (found, cause in told) == (code, True), told
