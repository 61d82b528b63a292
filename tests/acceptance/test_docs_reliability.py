"""The commands of docs/reliability.md are there and take what the page gives them; each runs for minutes, so none is run."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.fault.suite import __main__ as suite
from tests.fault.suite.faults import GREAT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
COMMANDS = [
    *(
        line.split("#")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
        for line in block.splitlines()
    ),
    *re.findall(r"`(python -m [^`]+|make [^`]+)`", PAGE),
]


def steps(command: str) -> list[str]:
    """What make would run, and of other commands themselves."""
    if not command.startswith("make "):
        return [command]
    told = subprocess.run(
        ["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = told.stdout.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if re.search(r"\btests[./]", line)]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood_as_it_stands(command, monkeypatch, capsys):
    [step] = steps(command)
    words = [word for word in shlex.split(step) if not word.startswith("LIENTHONG_")]
    if Path(words[0]).name == "pytest":
        assert all((ROOT / word).exists() for word in words if word.startswith("tests/"))
        return
    program, *how, module = words[:3]
    assert (Path(program).name, *how, module) == ("python", "-m", suite.__package__)
    arguments = words[3:]
    # What stands before --help is checked first, but for names of options.
    monkeypatch.setattr("sys.argv", [module, *arguments, "--help"])
    with pytest.raises(SystemExit) as left:
        suite.main()
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(f"{option} " in told for option in arguments if option.startswith("--"))


def test_page_has_a_figure_for_each_great_fault():
    rows = re.findall(r"^\| ([a-z' ]+) \| \d+ \|", PAGE, re.MULTILINE)
    assert {name for name, _ in GREAT} <= set(rows)
