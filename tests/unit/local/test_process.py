import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bus.local.process import ServerProcess, tail

SLEEP = shutil.which("sleep") or "/bin/sleep"
SHELL = shutil.which("sh") or "/bin/sh"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess("sleeper", tmp_path / "pid.json", tmp_path / "log")
    yield server
    server.kill()


def test_started_process_is_found_by_its_file_alone(server, tmp_path):
    server.start([SLEEP, "60"])
    found = ServerProcess("sleeper", tmp_path / "pid.json", tmp_path / "log")
    assert found.pid == server.pid is not None
    assert found.state == "running"


def test_start_twice_keeps_the_first(server):
    server.start([SLEEP, "60"])
    pid = server.pid
    server.start([SLEEP, "60"])
    assert server.pid == pid


def test_process_is_out_of_reach_of_the_terminals_signals(server):
    server.start([SLEEP, "60"])
    assert os.getsid(server.pid) != os.getsid(0)


def test_stop_and_kill_may_be_called_in_any_state(server):
    server.kill()
    server.pause()
    server.ask_to_stop()
    server.wait_stopped(1)
    server.start([SLEEP, "60"])
    for _ in range(2):
        server.ask_to_stop()
        server.wait_stopped(5)
        assert server.state == "stopped"


def test_process_that_ignores_the_signal_is_killed_after_the_deadline(server):
    server.start([SHELL, "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"])
    while "ready" not in tail(server.log, 1):
        assert server.pid
    server.ask_to_stop()
    server.wait_stopped(0.2)
    assert server.state == "stopped"


def test_paused_process_can_be_stopped(server):
    server.start([SLEEP, "60"])
    server.pause()
    assert server.state == "paused"
    server.ask_to_stop()
    server.wait_stopped(5)
    assert server.state == "stopped"


def test_kill_takes_the_children_too(server):
    server.start([SHELL, "-c", f"{SLEEP} 60 & echo ready; wait"])
    while "ready" not in tail(server.log, 1):
        assert server.pid
    children = psutil.Process(server.pid).children()
    server.kill()
    assert children
    assert all(not child.is_running() or child.status() == psutil.STATUS_ZOMBIE for child in children)


def test_stranger_with_a_reused_pid_is_neither_shown_nor_touched(tmp_path):
    stranger = ServerProcess("stranger", tmp_path / "stranger.json", tmp_path / "log")
    stranger.start([SLEEP, "60"])
    kept = json.loads((tmp_path / "stranger.json").read_text())
    (tmp_path / "pid.json").write_text(json.dumps({**kept, "created": kept["created"] - 3600}))
    ours = ServerProcess("ours", tmp_path / "pid.json", tmp_path / "log")

    assert ours.state == "stopped"
    ours.ask_to_stop(by=signal.SIGKILL)
    ours.kill()

    assert stranger.state == "running"
    stranger.kill()


def test_damaged_pid_file_counts_as_stopped(server, tmp_path):
    (tmp_path / "pid.json").write_text("{")
    assert server.state == "stopped"


def test_output_is_kept_and_its_end_can_be_told(server):
    server.start([SHELL, "-c", "echo one; echo two >&2; echo three"])
    server.wait_stopped(5)
    assert tail(server.log, 2) == "two\nthree"
    assert tail(server.log.with_name("none"), 2) == "(nothing was logged)"
