"""How a long download is shown: a bar on a terminal, a plain line now and then elsewhere, nothing for libraries."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

Advance = Callable[[int], None]
"""Told the number of bytes that came in."""

PLAIN_LINE_EVERY_BYTES = 16 * 1024 * 1024


class Report(Protocol):
    """Where the stack tells what it is doing."""

    def say(self, text: str) -> None:
        """Tell one step in one line."""

    def download(self, what: str) -> AbstractContextManager[Advance]:
        """Show one download of many files, ``what``, until the context ends."""


class Silent:
    """Tells nothing: for libraries and tests."""

    def say(self, text: str) -> None:
        del text

    @contextmanager
    def download(self, what: str) -> Iterator[Advance]:
        del what
        yield lambda _count: None


SILENT = Silent()


class ConsoleReport:
    """Tells people: with a moving bar when ``console`` is a terminal, else with a line per 16 MiB."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def download(self, what: str) -> Iterator[Advance]:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            with Progress(*columns, console=self._console, transient=True) as bar:
                task = bar.add_task(f"downloading {what}", total=None)
                yield lambda count: bar.advance(task, count)
            return
        yield self._plain(what)

    def _plain(self, what: str) -> Advance:
        seen = 0

        def advance(count: int) -> None:
            nonlocal seen
            before, seen = seen, seen + count
            if before // PLAIN_LINE_EVERY_BYTES != seen // PLAIN_LINE_EVERY_BYTES:
                self.say(f"downloading {what}: {seen // (1024 * 1024)} MiB so far")

        self.say(f"downloading {what} (once; kept for later starts)")
        return advance
