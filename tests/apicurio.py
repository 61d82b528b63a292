"""A real Apicurio Registry for a session: a stranger's server that speaks Confluent's API."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bus.local.java import jar_command, java_environment
from bus.local.maven import archive
from bus.local.ports import LOOPBACK, free_ports
from bus.local.process import ServerProcess
from tests.stack import cache, stack_directory

ARCHIVE = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"
READY_SECONDS = 60


@contextmanager
def apicurio() -> Iterator[str]:
    """URL of its Confluent-compatible API; schemas are kept in memory and gone afterwards."""
    (jar,) = archive(ARCHIVE, cache=cache()).rglob("quarkus-run.jar")
    with stack_directory() as directory:
        port, management = free_ports(2)
        server = ServerProcess("apicurio", directory / "pid.json", directory / "output.log")
        options = [
            f"-Dquarkus.http.host={LOOPBACK}",
            f"-Dquarkus.http.port={port}",
            f"-Dquarkus.management.host={LOOPBACK}",
            f"-Dquarkus.management.port={management}",
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
        ]
        url = f"http://{LOOPBACK}:{port}/apis/ccompat/v7"
        try:
            server.start(jar_command(jar, options=options), java_environment())
            _await(f"{url}/subjects", server)
            yield url
        finally:
            server.ask_to_stop()
            server.wait_stopped(10)


def _await(url: str, server: ServerProcess) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            httpx.get(url, timeout=2).raise_for_status()
        except httpx.HTTPError:
            if server.find() is None or time.monotonic() > deadline:
                raise RuntimeError(f"Apicurio does not answer:\n{server.log.read_text()[-2000:]}") from None
            time.sleep(0.1)
        else:
            return
