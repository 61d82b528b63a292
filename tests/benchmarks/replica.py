"""Our replica as anyone runs it: ``lienthong replica run`` in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bus.errors import Unavailable
from bus.local.process import tail
from consumers.stores import open_reader
from tests.benchmarks.events import IDENTITY
from tests.benchmarks.took import Took
from tests.benchmarks.topics import Topic

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 1800.0
READY_SECONDS = 300.0
STOP_SECONDS = 30.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class OurReplica:
    """One replica of ``resident.identity``: a database, an empty folder for its files, and how it is set."""

    directory: Path
    topic: Topic
    database: str
    decoding: str = "columns"
    wrapper: tuple[str, ...] = ()
    """A command that runs the replica's own, such as a profiler's."""

    def fill(self) -> Took:
        """From nothing to ready. Timed from the start of reading, which the replica logs, to ready, which it logs too."""
        return self._run("fill_begun", rounds=1)

    def update(self) -> Took:
        """From where it stood to caught up. Timed from the start of the daemon, its connections included."""
        return self._run("replica_started", rounds=2)

    def _run(self, first: str, *, rounds: int) -> Took:
        began = time.perf_counter()
        code = self._start("--until-caught-up").wait(RUN_SECONDS)
        whole = time.perf_counter() - began
        if code != 0:
            raise Unavailable(f"the replica ended with code {code}; the end of its log:\n{tail(self._log, 5)}")
        self._check(rounds)
        used = json.loads(self._usage.read_text(encoding="utf-8"))
        return Took(self.topic.events, self._between(first, "register_ready"), {**used, "whole_s": whole})

    @contextmanager
    def following(self) -> Iterator[None]:
        """The daemon, ready, for as long as the block runs."""
        process = self._start()
        try:
            self._await_ready(process)
            yield
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + READY_SECONDS
        while "register_ready" not in self._log.read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"the replica is not ready; the end of its log:\n{tail(self._log, 5)}")
            time.sleep(LOOK_SECONDS)

    def _check(self, rounds: int) -> None:
        """A run that has not applied every event of every round has measured nothing."""
        with open_reader(self.database) as reader:
            rows = reader.status(IDENTITY, count_rows=True).rows
            applied = reader.counters(IDENTITY).get("applied", 0)
        sound = self.topic.events - self.topic.poisoned
        if (rows, applied) != (sound, sound * rounds):
            raise Unavailable(f"the replica has {rows} rows and applied {applied} events of {sound}")

    def _between(self, first: str, last: str) -> float:
        """Seconds between two events of the log."""
        lines = [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]
        at = {line["event"]: datetime.fromisoformat(line["timestamp"]) for line in reversed(lines)}
        return (at[last] - at[first]).total_seconds()

    def _start(self, *options: str) -> "subprocess.Popen[bytes]":
        self.directory.mkdir(parents=True, exist_ok=True)
        arguments = ["replica", "run", "--config", str(self._config()), "--log-json", *options]
        command = [*self.wrapper, sys.executable, "-m", "tests.benchmarks.child", str(self._usage), *arguments]
        with self._log.open("wb") as log:
            return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _config(self) -> Path:
        path = self.directory / "replica.toml"
        path.write_text(
            f'[replica]\nagency = "H29.4"\nname = "bench"\ndatabase = "{self.database}"\nregisters = ["{IDENTITY}"]\n'
            f'prefix = "{self.topic.prefix}"\n{self._decoding()}'
            f'[kafka]\nbootstrap_servers = "{self.topic.kafka}"\n'
            f'[registry]\ntopic = "{self.topic.prefix}-schemas"\ncache_dir = "{self.directory / "schemas"}"\n'
            "[metrics]\nport = 0\n",
            encoding="utf-8",
        )
        return path

    def _decoding(self) -> str:
        """Only what differs from the replica's own choice."""
        return "" if self.decoding == "columns" else f'decoding = "{self.decoding}"\n'

    @property
    def _log(self) -> Path:
        return self.directory / "replica.log"

    @property
    def _usage(self) -> Path:
        return self.directory / "usage.json"
