"""The demo speaks to everything by the commands that anyone would type, and shows them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError
from urllib.request import urlopen

from bus.cli import console
from bus.errors import BusError

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class StepFailed(BusError):
    """A command of the demo ended otherwise than it must."""

    reason = "step_failed"


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs ``lienthong`` commands against the demo's cluster."""

    environment: Mapping[str, str]
    logs: Path

    def run(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """Run one command to its end; gives its stdout. Raises StepFailed, with what it said, for another exit code."""
        console.print(f"[dim]$ lienthong {' '.join(arguments)}[/]", highlight=False)
        done = subprocess.run(_command(arguments), env=self._env(), capture_output=True, text=True, check=False)
        if done.returncode not in codes:
            raise StepFailed(
                f"lienthong {arguments[0]} ended with code {done.returncode}: {done.stderr.strip()[-500:]}"
            )
        return done.stdout

    def ask(self, *arguments: str, codes: Sequence[int] = (0,)) -> Any:
        """Run one command with ``--json``; gives what it answers."""
        return json.loads(self.run(*arguments, "--json", codes=codes))

    def start(self, name: str, metrics_port: int, *arguments: str) -> "Daemon":
        console.print(f"[dim]$ lienthong {' '.join(arguments)} &[/]", highlight=False)
        log = (self.logs / f"{name}.log").open("ab")
        process = subprocess.Popen(_command(arguments), env=self._env(), stdout=log, stderr=log, start_new_session=True)
        log.close()
        return Daemon(name, process, f"http://127.0.0.1:{metrics_port}", self.logs / f"{name}.log")

    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


@dataclass(frozen=True, slots=True)
class Daemon:
    """A replica daemon that the demo started, and stops."""

    name: str
    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def wait_ready(self) -> float:
        """Seconds until ``/readyz`` said so. Raises StepFailed when it ends or takes too long."""
        began = time.monotonic()
        while time.monotonic() - began < READY_SECONDS:
            if self.process.poll() is not None:
                raise StepFailed(f"replica {self.name} ended with code {self.process.returncode}; see {self.log}")
            if self._ready():
                return time.monotonic() - began
            time.sleep(0.05)
        raise StepFailed(f"replica {self.name} is not ready after {READY_SECONDS:.0f} s; see {self.log}")

    def stop(self) -> None:
        """SIGTERM, and wait: it drains, commits and leaves. Raises StepFailed where it does not end with code 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code != 0:
            raise StepFailed(f"replica {self.name} ended with code {code}; see {self.log}")

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=2) as answer:  # noqa: S310 - our own loopback address
                return cast("int", answer.status) == 200
        except (URLError, OSError):
            return False


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "bus", *arguments]
