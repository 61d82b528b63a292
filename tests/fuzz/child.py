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
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.fuzz.target import GROWTH_MB, MEMORY_MB, WALL_SECONDS, Target
from tests.fuzz.targets import ALL

MB = 1 << 20
ROOT = str(Path(__file__).parents[2])
SMALLER_SECONDS = 2.0
MOST_FINDINGS = 20


def main() -> None:
    place = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 8)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where native readers tell of panics that are caught
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
    forget_peak()
    began, slowest, outcomes = time.perf_counter(), 0.0, {True: 0, False: 0}
    found: dict[str, dict[str, Any]] = {}
    peak = peak_kib()
    for number in range(start, start + count):
        data = target.input(seed, number)
        struct.pack_into("<q", place, 0, number)
        signal.setitimer(signal.ITIMER_PROF, target.cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        at = time.thread_time()
        try:
            outcomes[target.read(data)] += 1
        except target.refusals:
            outcomes[False] += 1
        except BaseException as error:  # noqa: BLE001 - everything else is what is looked for
            signal.setitimer(signal.ITIMER_PROF, 0)  # telling of it is none of the reader's time
            told = signature(error)
            if told not in found and len(found) < MOST_FINDINGS:
                small = smaller(target, data, told)
                found[told] = {"what": told, "trace": trace(error), "number": number, "input": small.hex()}
        slowest = max(slowest, time.thread_time() - at)
        now = peak_kib()
        if now - peak > GROWTH_MB * 1024:
            what = f"memory: {(now - peak) // 1024} MB"
            found.setdefault(what, {"what": what, "trace": "", "number": number, "input": data[:100_000].hex()})
        peak = max(peak, now)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return {
        "inputs": count,
        "parsed": outcomes[True],
        "refused": outcomes[False],
        "seconds": time.perf_counter() - began,
        "slowest_ms": slowest * 1000,
        "findings": list(found.values()),
    }


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + MEMORY_MB * MB
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))


def forget_peak() -> None:
    """What was needed to make the inputs is none of the reader's."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_kib() -> int:
    """The process's own high-water mark: ``ru_maxrss`` would count the one that started it too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


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
