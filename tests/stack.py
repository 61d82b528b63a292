"""The servers that tests share: one of each per session, real, stopped at the end whatever happens."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bus.local.maven import DEFAULT_CACHE
from bus.local.ports import free_ports
from bus.local.postgres import PostgresNode
from bus.local.stack import LocalStack

_UNDERTAKER = """\
import pathlib, shutil, sys
from bus.local.postgres import PostgresNode
from bus.local.stack import LocalStack
sys.stdin.read()
directory = pathlib.Path(sys.argv[1])
LocalStack(directory).down()
PostgresNode(0, directory / "postgres").stop()
shutil.rmtree(directory, ignore_errors=True)
"""
"""Waits until its input ends, which it does however the tests end, SIGKILL included; then stops what they left."""


def cache() -> Path:
    """Where downloads are kept between sessions."""
    return Path(os.environ.get("LIENTHONG_CACHE") or DEFAULT_CACHE)


@contextmanager
def stack_directory() -> Iterator[Path]:
    """A directory for servers, outside pytest's own, whose mode would keep PostgreSQL's user out.

    Servers that still run in it when the context ends, or when the whole test process dies, are stopped.
    """
    directory = Path(tempfile.mkdtemp(prefix="lienthong-"))
    command = [sys.executable, "-c", _UNDERTAKER, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as undertaker:
        try:
            yield directory
        finally:
            undertaker.communicate(timeout=60)


@contextmanager
def local_kafka(brokers: int = 1, settings: Any = None) -> Iterator[LocalStack]:
    """A running cluster of the test's own, stopped and erased afterwards.

    ``stack.status().bootstrap_servers`` is its address; ``stack.node(n)`` can be killed, paused and started again.
    """
    with stack_directory() as directory:
        stack = LocalStack(directory, brokers=brokers, cache=cache(), settings=settings)
        try:
            stack.up()
            yield stack
        finally:
            stack.down()


@contextmanager
def local_postgres() -> Iterator[PostgresNode]:
    """A running server of the test's own, stopped and erased afterwards."""
    with stack_directory() as directory:
        node = PostgresNode(free_ports(1)[0], directory / "postgres")
        try:
            node.start()
            yield node
        finally:
            node.stop()


def docker_wanted() -> bool:
    """Whether testcontainers should be used: only when asked for, and when an engine answers."""
    if os.environ.get("LIENTHONG_TEST_DOCKER") != "1":
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
