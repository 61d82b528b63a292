"""Replica daemons as processes of their own, for tests that signal them."""

import asyncio
import json
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bus.local.ports import free_ports
from consumers.settings import ReplicaSettings
from tests.fault.suite.nursery import Child, Nursery

NOTICED_SECONDS = 60.0  # the machine may be busy with much else


class Daemon:
    """One ``lienthong replica run``."""

    def __init__(self, child: Child, config: Path, port: int) -> None:
        self.child, self.config, self.port = child, config, port

    @property
    def pid(self) -> int:
        return self.child.pid

    def waiting_for(self) -> dict[str, str] | None:
        """What ``/readyz`` says: empty when ready, None when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return {}
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error)["waiting_for"])
        except OSError:
            return None

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    async def ready(self) -> None:
        await noticed(lambda: self.waiting_for() == {})

    async def ended(self, seconds: float = NOTICED_SECONDS) -> int:
        return await asyncio.wait_for(asyncio.wrap_future(self.child.ended), seconds)


class Daemons:
    def __init__(self, nursery: Nursery, directory: Path) -> None:
        self._nursery, self._directory = nursery, directory
        self._count = 0

    def start(self, settings: ReplicaSettings, crash_at: str = "") -> Daemon:
        self._count += 1
        [port] = free_ports(1)
        config = self._directory / f"replica-{self._count}.toml"
        write_config(config, settings, port)
        child = self._nursery.start(["lienthong", "replica", "run", "--config", str(config), "--log-json"], crash_at)
        return Daemon(child, config, port)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Lines of any daemon's log that tell of this."""
        lines = [json.loads(line) for line in list(self._nursery.last_lines) if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@contextmanager
def replica_daemons(directory: Path) -> Iterator[Daemons]:
    """All are killed at the end of the block."""
    with Nursery(directory / "daemons.log") as nursery:
        yield Daemons(nursery, directory)


def write_config(path: Path, settings: ReplicaSettings, port: int) -> None:
    told = settings.model_dump(mode="json", exclude_unset=True)
    told["metrics"] = {"port": port}
    sections = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        for name, section in told.items()
    ]
    text = "\n".join(sections)
    assert ReplicaSettings.model_validate(tomllib.loads(text)).replica == settings.replica
    path.write_text(text, encoding="utf-8")


async def noticed(condition, seconds: float = NOTICED_SECONDS) -> None:
    """Wait for a condition that may block for a moment; TimeoutError when it does not come."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.05)


def owners(database: str) -> dict[int, int]:
    """How many live partitions each process has claimed last, by process id."""
    with psycopg.connect(database) as connection:
        if connection.execute("SELECT to_regclass('_lienthong_positions')").fetchone() == (None,):
            return {}
        found = connection.execute(
            "SELECT split_part(owner, ':', 2)::integer, count(*) FROM _lienthong_positions WHERE slot = 'live' GROUP BY 1"
        )
        return dict(found.fetchall())
