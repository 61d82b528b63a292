"""A process in which readers are tried, for an input may kill it: run by ``running``, a job a line.

Before each input its number is written where the parent sees it. An input that takes too long ends the process by the
kernel's timer, one that takes too much memory by its limit.
"""

import json
import linecache
import mmap
import os
import resource
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.target import GROWTH_MB, MEMORY_MB, WALL_SECONDS, Target
from tests.fuzz.targets import ALL

MB = 1 << 20
ROOT = str(Path(__file__).parents[2])
CLEAR_REFS = Path("/proc/self/clear_refs").open("wb", buffering=0)  # noqa: SIM115 - open as long as the process is
STATUS = Path("/proc/self/status").open("rb", buffering=0)  # noqa: SIM115 - the same
SMALLER_SECONDS = 2.0
MOST_FINDINGS = 20
TOGETHER = 100
"""Inputs that a reader of many takes at once."""


def main() -> None:
    place = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 8)
    answers = os.fdopen(os.dup(1), "w")
    for stream in (1, 2):  # where native readers tell of panics that are caught, and others of what they find
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it, between two jobs
    warnings.simplefilter("ignore")
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        job = json.loads(line)
        answers.write(json.dumps(tried(job["reader"], job["seed"], job["start"], job["count"], place)) + "\n")
        answers.flush()


def tried(name: str, seed: int, start: int, count: int, place: mmap.mmap) -> dict[str, Any]:
    struct.pack_into("<q", place, 0, start)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    target = ALL[name]()
    target.read(target.samples[0])  # so that what is made once is made before memory is measured
    limit_memory()
    tally = Tally(target)
    began = time.perf_counter()
    for numbers in packs(target, start, count):
        inputs = [target.input(seed, number) for number in numbers]
        forget_peak()
        before = peak_kib()
        struct.pack_into("<q", place, 0, numbers[0])
        signal.setitimer(signal.ITIMER_PROF, target.cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        if len(inputs) == 1 or not tally.together(inputs):
            for number, data in zip(numbers, inputs, strict=True):
                struct.pack_into("<q", place, 0, number)
                signal.setitimer(signal.ITIMER_PROF, target.cpu_seconds)
                tally.alone(number, data)
        grown = peak_kib() - before
        if grown > GROWTH_MB * 1024:
            tally.find(f"memory: {grown // 1024} MB", "", numbers[0], inputs[0][:100_000])
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return {
        "inputs": count,
        "parsed": tally.outcomes[True],
        "refused": tally.outcomes[False],
        "seconds": time.perf_counter() - began,
        "slowest_ms": tally.slowest * 1000,
        "findings": list(tally.found.values()),
    }


def packs(target: Target, start: int, count: int) -> Iterator[range]:
    """Numbers of inputs that are tried at once: hostile ones each by itself."""
    at, end = start, start + count
    while at < end:
        size = 1 if target.read_many is None or at < len(target.cases) else TOGETHER
        yield range(at, min(at + size, end))
        at += size


class Tally:
    """What came of a job's inputs."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.outcomes = {True: 0, False: 0}
        self.found: dict[str, dict[str, Any]] = {}
        self.slowest = 0.0
        """Seconds of processor time, for one input."""

    def together(self, inputs: Sequence[bytes]) -> bool:
        """Whether a pack was read without a finding; else each of it has to be looked at."""
        assert self._target.read_many is not None
        at = time.thread_time()
        try:
            taken = self._target.read_many(inputs)
        except Exception:  # noqa: BLE001 - whichever it is shows when each is read alone
            return False
        self.outcomes[True] += taken
        self.outcomes[False] += len(inputs) - taken
        self.slowest = max(self.slowest, (time.thread_time() - at) / len(inputs))
        return True

    def alone(self, number: int, data: bytes) -> None:
        at = time.thread_time()
        try:
            self.outcomes[self._target.read(data)] += 1
        except self._target.refusals as refusal:
            self.outcomes[False] += 1
            if ran_out(refusal):
                self.find(f"MemoryError told as {type(refusal).__name__}", trace(refusal), number, data[:100_000])
        except BaseException as error:  # noqa: BLE001 - everything else is what is looked for
            signal.setitimer(signal.ITIMER_PROF, 0)  # telling of it is none of the reader's time
            told = signature(error)
            if told not in self.found and len(self.found) < MOST_FINDINGS:
                self.find(told, trace(error), number, smaller(self._target, data, told))
        self.slowest = max(self.slowest, time.thread_time() - at)

    def find(self, told: str, traced: str, number: int, data: bytes) -> None:
        self.found.setdefault(told, {"what": told, "trace": traced, "number": number, "input": data.hex()})


def ran_out(error: BaseException | None) -> bool:
    """Whether memory that could not be had is behind a refusal."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + MEMORY_MB * MB
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))


def forget_peak() -> None:
    """What was needed to make the inputs, or by earlier ones, is none of the reader's at this one."""
    CLEAR_REFS.write(b"5")


def peak_kib() -> int:
    """The process's own high-water mark: ``ru_maxrss`` would count the one that started it too."""
    told = os.pread(STATUS.fileno(), 4096, 0)
    return int(told[told.index(b"VmHWM:") + 6 :].split(maxsplit=1)[0])


def signature(error: BaseException) -> str:
    """Kind of the error and the line of ours that it came through: one finding each."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(ROOT)]
    ours = [frame for frame in frames if "/tests/" not in frame.filename and "/.venv/" not in frame.filename]
    last = (ours or frames)[-1]
    return f"{type(error).__name__} at {os.path.relpath(last.filename, ROOT)}:{last.lineno}"


def trace(error: BaseException) -> str:
    linecache.checkcache()
    return "".join(traceback.format_exception(error, limit=-6))[-3_000:]


def smaller(target: Target, data: bytes, told: str) -> bytes:
    """The input without whatever the same finding does not need."""
    until = time.monotonic() + SMALLER_SECONDS
    size = len(data) // 2
    while size and time.monotonic() < until:
        at = 0
        while at < len(data) and time.monotonic() < until:
            signal.setitimer(signal.ITIMER_PROF, target.cpu_seconds)
            less = data[:at] + data[at + size :]
            if same(target, less, told):
                data = less
            else:
                at += size
        size //= 2
    return data


def same(target: Target, data: bytes, told: str) -> bool:
    try:
        target.read(data)
    except target.refusals:
        return False
    except BaseException as error:  # noqa: BLE001 - as above
        return signature(error) == told
    return False


if __name__ == "__main__":
    main()
