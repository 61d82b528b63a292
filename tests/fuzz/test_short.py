"""A bounded share of the fuzzing: `make fuzz` is the long form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.running import ROOT, run
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.targets.broken import CASES

PROCESSES = min(os.cpu_count() or 1, 4)


def test_every_reader_parses_or_refuses_whatever_it_is_given() -> None:
    wanted = {name: made().short for name, made in TARGETS.items()}
    report = run(wanted, seed=20_260_706, processes=PROCESSES)
    assert {name: told["findings"] for name, told in report.items() if told["findings"]} == {}
    assert {name: told["inputs"] for name, told in report.items()} == wanted
    assert all(told["parsed"] and told["refused"] for told in report.values())


def test_the_harness_finds_a_hang_a_crash_an_error_and_memory_without_bound() -> None:
    told = run({"broken": 50}, seed=1, processes=1)["broken"]
    assert [each["what"].split(" at ")[0].split(":")[0] for each in told["findings"]] == list(CASES.values())
    assert told["inputs"] == 50
    assert told["refused"] >= 1
    assert told["parsed"] >= 20


def test_the_same_seed_makes_the_same_inputs_and_another_others() -> None:
    target = Target(bool, [b"one sample", b"another"])
    assert [target.input(1, number) for number in range(50)] == [target.input(1, number) for number in range(50)]
    assert [target.input(1, number) for number in range(50)] != [target.input(2, number) for number in range(50)]


def test_a_run_that_was_broken_off_goes_on_with_the_number_after() -> None:
    rest = run({"broken": 5}, seed=1, processes=1, first=4)["broken"]
    assert [each["number"] for each in rest["findings"]] == [4], (
        "those before, which hang and crash, are not tried again"
    )
    assert (rest["inputs"], rest["refused"]) == (5, 1)


def test_a_pack_that_is_not_read_is_looked_at_one_by_one() -> None:
    told = run({"broken-many": 250}, seed=1, processes=1, first=800)["broken-many"]
    assert [each["number"] for each in told["findings"]] == [886], "and the like of it, 918, is told once"
    assert told["findings"][0]["what"].startswith("KeyError")
    assert (told["inputs"], told["parsed"], told["refused"]) == (250, 248, 0)


def test_the_command_writes_what_it_found(tmp_path: Path) -> None:
    out = tmp_path / "fuzz.json"
    command = [sys.executable, "-m", "tests.fuzz", "--reader", "wire", "--inputs", "300", "--output", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(out.read_text())["readers"]
    assert list(told) == ["wire"]
    assert told["wire"]["inputs"] == told["wire"]["parsed"] + told["wire"]["refused"] == 300
    assert "wire" in done.stdout


def test_an_unknown_reader_is_named_with_those_that_there_are() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--reader", "klingon"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "klingon" in done.stderr


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
