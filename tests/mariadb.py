"""A MariaDB server of the tests' own, where Debian's package is installed."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

from bus.local.ports import free_ports

SERVER, INSTALLER = (
    shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin"),
    shutil.which("mariadb-install-db"),
)
START_SECONDS = 30


@contextmanager
def local_mariadb() -> Iterator[str]:
    """URL of a running, empty server, stopped and erased afterwards."""
    with tempfile.TemporaryDirectory(prefix="lienthong-") as folder:
        directory, (port,) = Path(folder), free_ports(1)
        common = ["--no-defaults", f"--datadir={directory / 'data'}", "--user=root"]
        made = [str(INSTALLER), *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(made, check=True, capture_output=True, timeout=60)
        listening = [f"--socket={directory / 'socket'}", f"--port={port}", "--bind-address=127.0.0.1"]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen([str(SERVER), *common, *listening], stdout=log, stderr=log)
        try:
            _wait(port)
            yield f"mariadb://root@127.0.0.1:{port}/mysql"
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="root").close()
        except pymysql.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
