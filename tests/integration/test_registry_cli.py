"""``lienthong schemas`` as its users call it, with a real registry topic."""

import json
import shutil
from pathlib import Path

import pytest

from bus.cli import main
from bus.schema.folder import schemas_folder
from tests.schemas import schema_text, with_field, without_default

TEXT = schema_text()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the shipped schemas, for their next versions."""
    return Path(shutil.copytree(str(schemas_folder()), tmp_path / "schemas"))


@pytest.fixture
def offline(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(["schemas", *arguments])
        out, error = capsys.readouterr()
        return int(exited.value.code or 0), out, error

    return run


@pytest.fixture
def lienthong(offline, kafka, topic_prefix, tmp_path):
    """Runs a command against a registry topic of this test's own; gives exit code, stdout, stderr."""
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        f'[kafka]\nbootstrap_servers = "{kafka}"\n'
        f'[registry]\ntopic = "{topic_prefix}_schemas"\ncache_dir = "{tmp_path / "cache"}"\n'
    )

    def run(*arguments: str) -> tuple[int, str, str]:
        return offline(*arguments, "--cluster", str(cluster), "--kafka", kafka, "--prefix", topic_prefix)

    return run


def next_ward(folder: Path, text: str, version: int = 2) -> None:
    (folder / "avro" / "code" / "ward" / f"v{version}.avsc").write_text(text, encoding="utf-8")


def test_shipped_schemas_are_fine_without_a_cluster(offline):
    assert offline("check")[:2] == (0, "12 schemas of 12 registers are fine.\n")


def test_incompatible_version_is_refused_with_rule_and_field(offline, folder):
    next_ward(folder, without_default(TEXT, "note"))
    code, out, error = offline("check", "code.ward", "--schemas", str(folder))
    assert (code, out) == (3, "")
    assert "code.ward v2: default_missing: state.note" in error
    assert error.count("\n") == 1


def test_bad_style_is_refused_with_file_and_field(offline, folder):
    next_ward(folder, with_field(TEXT, "note", doc_vi=""))
    code, _, error = offline("check", "--schemas", str(folder))
    assert (code, "code/ward/v2.avsc: state.note: doc_vi is missing" in error) == (3, True)


def test_schema_that_the_catalogue_does_not_know_is_refused(offline, folder):
    (folder / "avro" / "code" / "street").mkdir()
    (folder / "avro" / "code" / "street" / "v1.avsc").write_text(TEXT.replace("Ward", "Street"))
    code, _, error = offline("check", "--schemas", str(folder))
    assert (code, "code.street v1: not_in_catalogue" in error) == (3, True)


def test_publishing_releases_each_version_once(lienthong, folder, topic_prefix):
    next_ward(folder, with_field(TEXT, "note"))
    arguments = ("publish", "code.ward", "code.country", "--schemas", str(folder), "--json")
    planned = lienthong(*arguments, "--dry-run")[1]
    assert [row["outcome"] for row in json.loads(planned)] == ["would be released"] * 3
    assert json.loads(lienthong("list", "--json")[1]) == []
    rows = json.loads(lienthong(*arguments)[1])
    assert [(row["register"], row["version"], row["schema_id"], row["outcome"]) for row in rows] == [
        ("code.ward", 1, 1, "released"),
        ("code.ward", 2, 2, "released"),
        ("code.country", 1, 3, "released"),
    ]
    assert {row["outcome"] for row in json.loads(lienthong(*arguments)[1])} == {"already there"}
    listed = json.loads(lienthong("list", "--json")[1])
    assert listed[1] == {
        "subject": f"{topic_prefix}.code.ward-value",
        "register": "code.ward",
        "versions": [{"version": 1, "id": 1}, {"version": 2, "id": 2}],
    }


def test_released_file_never_changes(lienthong, folder):
    assert lienthong("publish", "code.ward", "--schemas", str(folder))[0] == 0
    next_ward(folder, with_field(TEXT, "note"), version=1)
    for command in (["publish"], ["publish", "--dry-run"], ["check", "--against-cluster"]):
        code, _, error = lienthong(*command, "code.ward", "--schemas", str(folder))
        assert (code, "code.ward v1: released_file_changed" in error, "v2.avsc" in error) == (3, True, True)
    assert lienthong("check", "code.ward", "--against-cluster")[0] == 0


def test_released_file_never_goes(lienthong, folder):
    next_ward(folder, with_field(TEXT, "note"))
    assert lienthong("publish", "code.ward", "--schemas", str(folder))[0] == 0
    code, _, error = lienthong("check", "code.ward", "--against-cluster")
    assert (code, "bring v2.avsc back" in error) == (3, True)


def test_several_findings_are_all_told(lienthong, folder):
    assert lienthong("publish", "code.ward", "code.country", "--schemas", str(folder))[0] == 0
    for register in ("ward", "country"):
        path = folder / "avro" / "code" / register / "v1.avsc"
        path.write_text(with_field(schema_text(f"code.{register}"), "note"), encoding="utf-8")
    code, _, error = lienthong("check", "--against-cluster", "--schemas", str(folder))
    assert (code, error.count("released_file_changed"), "2 findings" in error) == (3, 2, True)


def test_showing_gives_the_newest_or_the_version_asked_for(lienthong, folder):
    next_ward(folder, with_field(TEXT, "note"))
    lienthong("publish", "code.ward", "--schemas", str(folder))
    newest, first = (json.loads(lienthong("show", "code.ward", "--json", *v)[1]) for v in ([], ["--version", "1"]))
    assert (newest["version"], newest["id"], newest["schema"]) == (2, 2, json.loads(with_field(TEXT, "note")))
    assert first["schema"] == json.loads(TEXT)
    assert "valid_from" in lienthong("show", "code.ward")[1]
    assert lienthong("show", "code.ward", "--version", "3")[::2] == (
        3,
        "error input_refused: code.ward: no version 3 is released; there are 1, 2\n",
    )


def test_nothing_released_says_how_to_release(lienthong):
    assert "lienthong schemas publish" in lienthong("list")[2]
    code, _, error = lienthong("show", "code.ward")
    assert (code, "lienthong schemas publish" in error) == (3, True)


@pytest.mark.parametrize("command", [("show", "code.wards"), ("publish", "code.wards"), ("check", "code.wards")])
def test_unknown_register_is_one_line(offline, command):
    code, out, error = offline(*command)
    assert (code, out, error.count("\n")) == (3, "", 1)


def test_registry_that_is_away_is_one_line(offline):
    code, out, error = offline("list", "--registry", "http://127.0.0.1:1")
    assert (code, out, error.count("\n")) == (4, "", 1)


def test_models_are_up_to_date(offline):
    assert offline("models", "--check")[0] == 0
