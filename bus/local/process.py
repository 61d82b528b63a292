"""A server process that outlives the command that started it, found again by its pid file.

A pid alone may have passed to a stranger, after a crash or a reboot; so the pid file also keeps the time at which the
process was created, and only a process with both is ours.
"""

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import psutil

ProcessState = Literal["running", "paused", "stopped"]

POLL_SECONDS = 0.05
KILL_SECONDS = 10.0
"""A killed process goes at once, unless it hangs in the kernel, and then no waiting helps."""
CREATED_TOLERANCE_SECONDS = 2.0
"""The creation time is computed from the boot time, which moves a little when the clock is set."""


class ServerProcess:
    """One detached process with its pid file and log. Every method may be called in any state."""

    def __init__(self, name: str, pid_file: Path, log: Path) -> None:
        self.name = name
        self.log = log
        self._pid_file = pid_file

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start ``command`` in a session of its own, its output appended to the log; nothing if it runs already."""
        if self.find() is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        output = (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        pid = os.posix_spawn(
            command[0],
            list(command),
            dict(environment if environment is not None else os.environ),
            file_actions=[nothing, output, (os.POSIX_SPAWN_DUP2, 1, 2)],
            setsid=True,
        )
        self.adopt(pid)

    def adopt(self, pid: int) -> None:
        """Remember a process that something else started."""
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        kept = {"pid": pid, "created": psutil.Process(pid).create_time()}
        self._pid_file.write_text(json.dumps(kept), encoding="utf-8")

    def find(self) -> psutil.Process | None:
        """Return the living process, or None; a zombie child of ours is reaped."""
        try:
            kept = json.loads(self._pid_file.read_text(encoding="utf-8"))
            process = psutil.Process(kept["pid"])
            if abs(process.create_time() - kept["created"]) > CREATED_TOLERANCE_SECONDS:
                return None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return process if _lives(process) else None

    @property
    def state(self) -> ProcessState:
        process = self.find()
        if process is None:
            return "stopped"
        return "paused" if process.status() == psutil.STATUS_STOPPED else "running"

    @property
    def pid(self) -> int | None:
        process = self.find()
        return process.pid if process else None

    def ask_to_stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal to stop, without waiting; a paused process is resumed, or it could not obey."""
        self._signal(by)
        self._signal(signal.SIGCONT)

    def wait_stopped(self, seconds: float) -> None:
        """Wait until the process is gone; kill it and its children once ``seconds`` have passed."""
        deadline = time.monotonic() + seconds
        while self.find() is not None:
            if time.monotonic() > deadline:
                self.kill()
                break
            time.sleep(POLL_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL the process and its children, as a power cut would, and wait until they are gone."""
        process = self.find()
        if process is None:
            return
        family = [process, *process.children(recursive=True)]
        for each in family:
            _send(each, signal.SIGKILL)
        deadline = time.monotonic() + KILL_SECONDS
        while any(_lives(each) for each in family) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: the process keeps its sockets and answers nothing; true when this returns."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + KILL_SECONDS
        while self.state == "running" and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def resume(self) -> None:
        """SIGCONT: the process goes on where it was paused."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        process = self.find()
        if process is not None:
            _send(process, number)


def tail(path: Path, count: int) -> str:
    """Return the last ``count`` lines of a text file, or a note that it is empty."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    return "\n".join(lines[-count:]) or "(nothing was logged)"


def _lives(process: psutil.Process) -> bool:
    """Tell whether the process still does anything; a zombie does not, and one of our own is reaped."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
        process.wait(0)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        pass
    return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
