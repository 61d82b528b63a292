"""Commands of a page, typed in: ours within this process, which has all loaded, others by a shell."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.cli import main


def commands(text: str) -> list[str]:
    """The lines of a page's ``sh`` blocks, without their remarks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = (re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def type_in(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """One line, in the directory where the test is; the exit code."""
    if line.startswith("set -a;"):
        for name, value in _settings(Path("adapter.env").read_text(encoding="utf-8")):
            monkeypatch.setenv(name, value)
        return 0
    if line.startswith("cd "):
        monkeypatch.chdir(line.split()[1])
        return 0
    if line.startswith("lienthong "):
        with pytest.raises(SystemExit) as exited:
            main(line.split()[1:])
        return int(exited.value.code or 0)
    words = re.sub("^python ", f"{sys.executable} ", line)
    return subprocess.run(["bash", "-euc", words], check=False, timeout=60).returncode


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            yield name, value
