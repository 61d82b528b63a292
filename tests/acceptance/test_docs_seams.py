"""Every command on docs/seams.md, run as it stands, on a replica and a register of the tests'."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest

from bus.catalog import load_catalog
from bus.cli import main
from consumers import rebuilding
from tests.consuming import Feed, catch_up, held, replica_settings, upsert
from tests.producing import IDENTITY, prepare

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "seams.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_every_command_does_what_the_page_says(kafka, topic_prefix, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rebuilding, "PICK_UP_SECONDS", 1.0)
    monkeypatch.setenv("LIENTHONG_KAFKA", kafka)
    monkeypatch.setenv("LIENTHONG_PREFIX", topic_prefix)
    settings = replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])
    Path("replica.toml").write_text(
        f'[replica]\nagency = "H29.4"\ndatabase = "{settings.replica.database}"\nregisters = ["{IDENTITY}"]\n'
        f'prefix = "{topic_prefix}"\n[kafka]\nbootstrap_servers = "{kafka}"\n'
        f'[registry]\ntopic = "{settings.registry.topic}"\n',
        encoding="utf-8",
    )
    asyncio.run(_prepared(kafka, topic_prefix, settings))
    said = [_run(command, capsys) for command in commands()]
    assert ["would be read again" in said[0], "rebuilt by the command" in said[1]] == [True, True]
    assert ["would then say" in said[2], "Copied." in said[3]] == [True, True]
    [entry] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert entry.strip() in said[3]
    assert len(held(settings)) == 3
    head = f'[registers."{IDENTITY}"]\n'
    catalog = tmp_path / "catalog.toml"
    catalog.write_text((ROOT / "schemas" / "catalog.toml").read_text("utf-8").replace(head, entry), "utf-8")
    register = load_catalog(catalog).register(IDENTITY)
    assert (register.partitions, register.generation) == (24, 2)


async def _prepared(kafka: str, prefix: str, settings) -> None:
    await prepare(kafka, prefix)
    await Feed(kafka, prefix).send([upsert(number, 10) for number in range(3)])
    await catch_up(settings)


def _run(command: list[str], capsys) -> str:
    assert command[0] == "lienthong"
    with pytest.raises(SystemExit) as exited:
        main(command[1:])
    assert not exited.value.code, command
    return capsys.readouterr().out
