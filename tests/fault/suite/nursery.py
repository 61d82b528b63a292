"""A nursery of processes: forked from one that has everything imported, so that a daemon starts in milliseconds.

What it starts are processes like any other: each runs one of our commands, and dies of real signals. However the
nursery itself ends, they end with it.
"""

import asyncio
import ctypes
import faulthandler
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any, Self

LAST_LINES = 400
PARENT_DIED = 1  # prctl's PR_SET_PDEATHSIG


class Child:
    """One process of the nursery's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: Future[int] = Future()
        """Its code, negative for a signal."""

    def signal(self, number: signal.Signals) -> bool:
        """Whether it was still there to be told."""
        if self.ended.done():
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    @property
    def frozen(self) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
        return False

    def limit_files(self, size: int | None) -> bool:
        """From now on no file of its grows beyond so many bytes: what a full disk does. None lifts it."""
        with suppress(ProcessLookupError, PermissionError):
            _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
            return True
        return False


class Nursery:
    """Starts commands; what they write goes to one log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._children: dict[int, Child] = {}
        self._born: Queue[Child] = Queue()
        self._one = threading.Lock()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.suite.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"RUST_BACKTRACE": "0"},  # a caught panic of a native reader would keep 57 MB of symbols
            text=True,
            errors="replace",
        )
        self._threads = [
            threading.Thread(target=self._hear, name="nursery", daemon=True),
            threading.Thread(target=self._write_log, name="nursery log", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        for thread in self._threads:
            thread.join(30)
        self._process.stdout.close()
        self._process.stderr.close()

    def start(self, argv: Sequence[str], crash_at: str = "", most_bytes: int | None = None) -> Child:
        """Run a command of ours: ``lienthong`` with arguments, or ``module:function`` with arguments for it."""
        asked = {"argv": list(argv), "env": {"LIENTHONG_CRASH_AT": crash_at}, "most_bytes": most_bytes}
        with self._one:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            return self._born.get(timeout=30)

    def _hear(self) -> None:
        for line in self._process.stdout:
            told = json.loads(line)
            if "born" in told:
                child = self._children[told["born"]] = Child(told["born"])
                self._born.put(child)
            else:
                self._children.pop(told["gone"]).ended.set_result(told["code"])
        for child in self._children.values():
            child.ended.set_result(-signal.SIGKILL)

    def _write_log(self) -> None:
        with self._log.open("w", encoding="utf-8") as file:
            for line in self._process.stderr:
                self.last_lines.append(line.rstrip())
                file.write(line)


def main() -> None:
    """The nursery itself: a line of JSON for each child wanted; a line for each born and each gone."""
    _import_everything()
    hear, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    children: set[int] = set()
    asked = b""
    while True:
        ready, _, _ = select.select([0, hear], [], [])
        if hear in ready:
            os.read(hear, 4096)
            _reap(children)
        if 0 in ready:
            more = os.read(0, 65536)
            if not more:
                break
            *lines, asked = (asked + more).split(b"\n")
            for line in lines:
                children.add(_bear(json.loads(line)))
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _bear(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(_live(asked))
    _tell(born=pid)
    return pid


def _reap(children: set[int]) -> None:
    for pid in list(children):
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            children.remove(pid)
            _tell(gone=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**told: int) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


def _live(asked: dict[str, Any]) -> int:
    ctypes.CDLL(None).prctl(PARENT_DIED, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, tell_where)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what it prints is log
    os.environ.update(asked["env"])
    if asked["most_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["most_bytes"], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return _run(asked["argv"])


def tell_where(*_: object) -> None:
    """Into the log, what every task and thread of this process waits for: asked when events do not arrive."""
    with suppress(RuntimeError):  # no loop runs
        for task in asyncio.all_tasks():
            task.print_stack(limit=8)
    faulthandler.dump_traceback()


def _run(argv: list[str]) -> int:
    try:
        _command(argv)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - as an interpreter would
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _command(argv: list[str]) -> None:
    from bus.cli import main as lienthong  # noqa: PLC0415 - imported before, see below

    module, _, function = argv[0].partition(":")
    sys.argv = argv
    if function:
        getattr(sys.modules[module], function)(*argv[1:])
    else:
        lienthong()


def _import_everything() -> None:
    import consumers.cli  # noqa: PLC0415 - only here, in the nursery's own process
    import producers.cli  # noqa: PLC0415
    import producers.outbox.cli  # noqa: PLC0415
    import tests.fault.suite.publishing  # noqa: PLC0415

    assert consumers.cli
    assert producers.cli
    assert producers.outbox.cli
    assert tests.fault.suite.publishing


if __name__ == "__main__":
    main()
