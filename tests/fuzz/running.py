"""Runs readers in processes beside each other and sums up what came of it."""

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SLICE = 2_000
"""Inputs of one job: small enough that processes end together, and that a run that is broken off soon ends."""
SUMMED = ("inputs", "parsed", "refused", "seconds")
Report = dict[str, dict[str, Any]]


def run(
    wanted: dict[str, int],
    seed: int,
    processes: int,
    told: Callable[[str, int, int], None] = lambda *_: None,
    *,
    first: int = 0,
) -> Report:
    """Try so many inputs on each reader, from this number on; ``told`` hears reader, inputs done and inputs wanted.

    Raises RuntimeError where a process that tries readers does not start.
    """
    report: Report = {name: dict.fromkeys(SUMMED, 0) | {"slowest_ms": 0.0, "findings": []} for name in wanted}
    jobs = deque(_jobs(wanted, seed, first))
    lock = threading.Lock()

    def take_in(name: str, answer: dict[str, Any]) -> None:
        with lock:
            whole = report[name]
            for key in SUMMED:
                whole[key] += answer[key]
            whole["slowest_ms"] = max(whole["slowest_ms"], answer["slowest_ms"])
            known = {each["what"] for each in whole["findings"]}
            whole["findings"] += [{**each, "seed": seed} for each in answer["findings"] if each["what"] not in known]
            told(name, whole["inputs"], wanted[name])

    with ThreadPoolExecutor(processes) as threads:
        working = [threads.submit(_work, jobs, take_in) for _ in range(processes)]
        try:
            wait(working, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:  # what was tried until then counts
            pass
        finally:
            jobs.clear()
    for each in working:
        each.result()
    return report


def _jobs(wanted: dict[str, int], seed: int, first: int) -> Iterable[dict[str, Any]]:
    """Slices of all readers in turn, so that a run that is broken off has tried each."""
    for start in range(0, max(wanted.values(), default=0), SLICE):
        for name, count in wanted.items():
            if start < count:
                yield {"reader": name, "seed": seed, "start": first + start, "count": min(SLICE, count - start)}


def _work(jobs: "deque[dict[str, Any]]", take_in: Callable[[str, dict[str, Any]], None]) -> None:
    child = None
    try:
        while True:
            try:
                job = jobs.popleft()
            except IndexError:
                return
            child = child or _Child()
            answer = child.asked(job)
            if answer is None:
                answer, others = child.autopsy(job)
                child = None
                jobs.extendleft(each for each in others if each["count"])
            take_in(job["reader"], answer)
    finally:
        if child is not None:
            child.close()


class _Child:
    def __init__(self) -> None:
        self._place = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by close()
        self._place.write(bytes(8))
        self._place.flush()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.child", self._place.name],
            cwd=ROOT,
            env=os.environ | {"POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0", "MALLOC_ARENA_MAX": "2"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        if not self._process.stdout.readline():
            self.close()
            raise RuntimeError("a process that tries readers does not start: python -m tests.fuzz.child tells why")

    def asked(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """None where the process died of it."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = self._process.stdout.readline()
        return json.loads(answer) if answer else None

    def autopsy(self, job: dict[str, Any]) -> tuple[dict[str, Any], Iterable[dict[str, Any]]]:
        """What is known of the input that killed its process, and the job before and behind it: its answer is lost."""
        code = self._process.wait()
        (number,) = struct.unpack("<q", Path(self._place.name).read_bytes())
        self.close()
        number = max(number, job["start"])
        before = number - job["start"]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
        what = "hang" if -code in (signal.SIGPROF, signal.SIGALRM) else "crash"
        finding = {"what": f"{what}: {how} at input {number}", "trace": "", "number": number, "input": ""}
        answer = dict.fromkeys(SUMMED, 0) | {"inputs": 1, "slowest_ms": 0.0, "findings": [finding]}
        behind = {**job, "start": number + 1, "count": job["count"] - before - 1}
        return answer, ({**job, "count": before}, behind)

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        self._process.wait()
        self._place.close()
