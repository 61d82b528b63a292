"""What the README says to type works, in the order in which it says it."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bus.demo.exports import IDENTITY, Sizes, write_exports
from bus.local.ports import free_ports
from bus.local.stack import LocalStack

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The ``lienthong`` lines of the README, without their remarks."""
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("lienthong ")]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory as the README's reader has it: an export, a replica's configuration; stopped at the end."""
    monkeypatch.chdir(tmp_path)
    [port] = free_ports(1)
    exports = write_exports(tmp_path / "exports", 1, Sizes(people=200, businesses=60, dossiers=60))
    exports.files[IDENTITY].path.rename(tmp_path / "people.csv")
    (tmp_path / "replica.toml").write_text(
        '[replica]\nagency = "H29.4"\ndatabase = "sqlite:///replica.db"\nregisters = ["resident.identity"]\n'
        f'[kafka]\nbootstrap_servers = "127.0.0.1:{port}"\n[metrics]\nport = 0\n',
        encoding="utf-8",
    )
    someone = exports.files[IDENTITY].valid["personal_id"][0]
    yield port, someone
    LocalStack(tmp_path / ".lienthong").down()


def test_readme_commands_run_as_they_stand(place):
    port, someone = place
    environment = {**os.environ, "LIENTHONG_KAFKA": f"127.0.0.1:{port}"}
    for line in commands():
        told = line.replace("9092", str(port)).replace("079185000001", someone)
        told += " --until-caught-up" if "replica run" in told else ""
        told += " --yes" if "topics apply" in told else ""
        arguments = [sys.executable, "-m", "bus", *told.split()[1:]]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120, env=environment)
        assert done.returncode == 0, f"{line}: {done.stdout[-800:]}{done.stderr[-800:]}"


def test_readme_code_publishes_and_looks_up(place):
    port, _ = place
    environment = {**os.environ, "LIENTHONG_KAFKA": f"127.0.0.1:{port}"}
    publishes, looks_up = blocks("python")[0].split("from consumers")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120, env=environment
        )
        assert done.returncode == 0, done.stderr[-800:]
        return done.stdout

    run("-m", "bus", "local", "up", "--port", str(port))
    run("-m", "bus", "topics", "apply", "--yes")
    run("-m", "bus", "schemas", "publish")
    told = f'agency="H29.5", kafka={{"bootstrap_servers": "127.0.0.1:{port}"}}'
    body = textwrap.indent(publishes.replace('agency="H29.5"', told), "    ")
    run("-c", f"import asyncio\nasync def main():\n{body}\nasyncio.run(main())")
    run("-m", "bus", "replica", "run", "--config", "replica.toml", "--until-caught-up")
    assert run("-c", f"from consumers{looks_up}").strip() == "Nguyễn Thị Mẫu"


def test_readme_names_every_group_of_commands():
    named = set(re.findall(r"lienthong ([a-z]+)", README.read_text(encoding="utf-8"))) | {"demo"}
    done = subprocess.run([sys.executable, "-m", "bus", "--help"], capture_output=True, text=True, check=True)
    groups = set(re.findall(r"│ ([a-z]+) ", done.stdout))
    assert groups <= named | {"options"}


def test_readme_names_every_page():
    pages = {f"docs/{page.name}" for page in (README.parent / "docs").glob("*.md")}
    assert {page for page in pages if page not in README.read_text(encoding="utf-8")} == set()
