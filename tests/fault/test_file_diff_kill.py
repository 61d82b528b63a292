"""File diff killed with SIGKILL at each of its crash points, then run again.

What must be true: the topic's last state per key is the export, and no event stands there twice.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path

import pytest

from bus.crashpoints import NAMES
from bus.event import Op
from tests.exports import export, job, people, run
from tests.outbox import in_version_order
from tests.producing import IDENTITY, events, person, prepare, registry_settings
from tests.soak import CHANGES, KILLS

ONCE = ("filediff.synchronising", "filediff.synchronised")  # a run reads the topic once
POINTS = [f"{name}:1" for name in NAMES] + [f"{name}:2" for name in NAMES if name not in ONCE]
POINTS = [point for point in POINTS if point.startswith("filediff.")]
DRIVER = """
import asyncio, sys
from bus import crashpoints
from producers.filediff.job import FileJob
from producers.filediff.run import publish_file
crashpoints.arm(sys.argv[1])
asyncio.run(publish_file(FileJob.model_validate_json(sys.argv[2])))
"""


def die(asked, point: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, point, asked.model_dump_json()],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def expected_after_second(rows):
    """Changes of the second export: ten changed, five gone, ten new."""
    changed = [row | {"full_name": "Huỳnh Thị Đổi"} if place < 10 else row for place, row in enumerate(rows)]
    return [*changed[:-5], *(person(number) for number in range(500, 510))]


@pytest.fixture
async def before(kafka, topic_prefix, tmp_path):
    """A topic on which sixty people have been published once."""
    await prepare(kafka, topic_prefix)
    rows = people(60)
    await run(kafka, topic_prefix, tmp_path, export(tmp_path, rows))
    return rows


@pytest.mark.parametrize("point", POINTS)
async def test_killed_run_is_finished_by_the_next_one_without_loss_or_double(
    kafka, topic_prefix, tmp_path, before, point
):
    wanted = expected_after_second(before)
    asked = job(kafka, topic_prefix, tmp_path, export(tmp_path, wanted), transaction_events=8)
    if point.startswith("filediff.synchronising"):
        for file in (tmp_path / "state").iterdir():
            file.unlink()
    await asyncio.to_thread(die, asked, point)
    outcome = await run(kafka, topic_prefix, tmp_path, asked.file, transaction_events=8)
    assert outcome.unchanged + outcome.new + outcome.changed == len(wanted)
    await holds(kafka, topic_prefix, before, wanted)


async def test_run_killed_again_and_again_gets_there(kafka, topic_prefix, tmp_path, before):
    wanted = expected_after_second(before)
    asked = job(kafka, topic_prefix, tmp_path, export(tmp_path, wanted), transaction_events=8)
    for point in ("sent:2", "committed:1", "recorded:1", "begun:1", "committed:1"):
        await asyncio.to_thread(die, asked, f"filediff.{point}")
    await run(kafka, topic_prefix, tmp_path, asked.file)
    await holds(kafka, topic_prefix, before, wanted)
    assert (await run(kafka, topic_prefix, tmp_path, asked.file)).events == 0


async def test_killed_on_one_machine_and_finished_from_another_without_its_state(kafka, topic_prefix, tmp_path, before):
    wanted = expected_after_second(before)
    asked = job(kafka, topic_prefix, tmp_path, export(tmp_path, wanted), transaction_events=8)
    await asyncio.to_thread(die, asked, "filediff.committed:2")
    (tmp_path / "elsewhere").mkdir()
    await run(kafka, topic_prefix, tmp_path / "elsewhere", asked.file)
    await holds(kafka, topic_prefix, before, wanted)


def test_command_line_arms_crash_points_from_the_environment(kafka, topic_prefix, tmp_path):
    asyncio.run(prepare(kafka, topic_prefix))
    file = export(tmp_path, people(2))
    command = command_line(kafka, topic_prefix, tmp_path, file)
    armed = os.environ | {"LIENTHONG_CRASH_AT": "filediff.sent"}
    killed = subprocess.run(command, env=armed, capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert len(asyncio.run(events(kafka, topic_prefix))) == 2


@pytest.mark.parametrize("point", ["filediff.begun", "filediff.sent", "filediff.recorded"])
def test_frozen_run_that_was_taken_over_is_fenced_with_6_when_it_thaws(kafka, topic_prefix, tmp_path, point):
    asyncio.run(prepare(kafka, topic_prefix))
    for name in ("older", "newer"):
        (tmp_path / name).mkdir()
    rows = people(80)
    command = command_line(kafka, topic_prefix, tmp_path / "older", export(tmp_path / "older", rows[:60]))
    armed = os.environ | {"LIENTHONG_CRASH_AT": f"{point}:1:STOP"}
    with subprocess.Popen(command, env=armed, stderr=subprocess.PIPE, text=True) as older:
        try:
            assert os.waitid(os.P_PID, older.pid, os.WSTOPPED | os.WEXITED).si_status == signal.SIGSTOP
            newer = command_line(kafka, topic_prefix, tmp_path / "newer", export(tmp_path / "newer", rows))
            subprocess.run(newer, capture_output=True, check=True, timeout=60)
            os.kill(older.pid, signal.SIGCONT)
            _, error = older.communicate(timeout=60)
        finally:
            older.kill()
    if point != "filediff.recorded":  # there everything had been sent before: the older one just ends well
        assert (older.returncode, "taken over" in error, "Traceback" in error) == (6, True, False)
    found = asyncio.run(events(kafka, topic_prefix))
    assert {event.key: event.state for event in found} == {row["personal_id"]: row for row in rows}
    assert len(found) == len(rows)


def command_line(kafka, prefix, directory, file):
    return [
        *(str(Path(sys.executable).with_name("lienthong")), "publish", "file", IDENTITY, str(file)),
        *("--agency", "H29.5", "--kafka", kafka, "--prefix", prefix, "--state", str(directory / "state")),
        *("--registry", registry_settings(prefix).topic),
    ]


async def holds(kafka, prefix, before, wanted):
    """The topic ends with the export, each of the changes between both exports stands there once, in version order."""
    found = await events(kafka, prefix)
    last = {event.key: event for event in found}
    assert {key: event.state for key, event in last.items() if event.op is Op.UPSERT} == {
        row["personal_id"]: row for row in wanted
    }
    first = {row["personal_id"]: row for row in before}
    then = {row["personal_id"]: row for row in wanted}
    due = Counter(first.keys()) + Counter(key for key in first.keys() | then.keys() if first.get(key) != then.get(key))
    assert Counter(event.key for event in found) == due
    assert in_version_order(found)


def test_runs_killed_at_random_are_finished_by_the_next_without_loss_or_double(kafka, topic_prefix, tmp_path):
    """Each export is published by a run that is killed somewhere between its start and its end, and by one that is not."""
    asyncio.run(prepare(kafka, topic_prefix))
    chance = random.Random(1)  # noqa: S311 - the same exports in every run
    changes = CHANGES // KILLS
    rows, due = {}, defaultdict(list)
    for number in range(4 * changes):
        change(rows, due, number, "Nguyễn Văn Mẫu")
    began, killed = time.monotonic(), 0
    run_driver(job(kafka, topic_prefix, tmp_path, export(tmp_path, [*rows.values()])), None)
    whole_seconds = time.monotonic() - began
    for step in count():
        if killed == KILLS:
            break
        for number in chance.sample(range(4 * changes), changes):
            change(rows, due, number, f"Huỳnh Thị {step}" if chance.random() < 0.9 else None)
        asked = job(kafka, topic_prefix, tmp_path, export(tmp_path, [*rows.values()]), transaction_events=10)
        killed += run_driver(asked, chance.uniform(0.4, 1.1) * whole_seconds) == -signal.SIGKILL
        asyncio.run(run(kafka, topic_prefix, tmp_path, asked.file))
    found = asyncio.run(events(kafka, topic_prefix))
    told = defaultdict(list)
    for event in found:
        told[event.key].append(event.state["full_name"] if event.state else None)
    assert told == due
    assert in_version_order(found)


def change(rows, due, number, name):
    """One person's next state, or that it goes; each change that this makes is due on the topic once."""
    row = person(number, full_name=name)
    key = row["personal_id"]
    if name is None:
        if rows.pop(key, None):
            due[key].append(None)
    elif rows.get(key) != row:
        rows[key] = row
        due[key].append(name)


def run_driver(asked, seconds):
    """Its exit code; killed after so many seconds."""
    command = [sys.executable, "-c", DRIVER, "", asked.model_dump_json()]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
