"""The servers that tests share: one of each per session, real, stopped at the end whatever happens."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.local.stack import DEFAULT_CACHE, LocalStack

_UNDERTAKER = """\
import pathlib, shutil, sys
from bus.local.stack import LocalStack
sys.stdin.read()
LocalStack(pathlib.Path(sys.argv[1])).down()
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""Waits until its input ends, which it does when the tests end in any way, SIGKILL included; then stops what they left."""


def cache() -> Path:
    """Where downloads are kept between sessions."""
    return Path(os.environ.get("LIENTHONG_CACHE") or DEFAULT_CACHE)


@contextmanager
def stack_directory() -> Iterator[Path]:
    """A directory for servers, outside pytest's own, whose mode keeps PostgreSQL's user out.

    Servers that still run in it when the context ends, or when the whole test process dies, are stopped.
    """
    directory = Path(tempfile.mkdtemp(prefix="lienthong-"))
    with subprocess.Popen(
        [sys.executable, "-c", _UNDERTAKER, str(directory)], stdin=subprocess.PIPE, start_new_session=True
    ) as undertaker:
        try:
            yield directory
        finally:
            undertaker.communicate(timeout=60)


@contextmanager
def local_kafka(brokers: int = 1) -> Iterator[LocalStack]:
    """A running local cluster of the tests' own."""
    with stack_directory() as directory:
        stack = LocalStack(directory, brokers=brokers, cache=cache())
        stack.up()
        yield stack


def docker_wanted() -> bool:
    """Whether testcontainers should be used: only when asked for, and when an engine answers."""
    if os.environ.get("LIENTHONG_TEST_DOCKER") != "1":
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
