"""How a long run is shown: a bar on a terminal, a plain line now and then elsewhere, nothing for libraries."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int], None]
PLAIN_EVERY_SECONDS = 5


class Reporter(Protocol):
    def say(self, text: str) -> None: ...

    def step(self, what: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """One stage of the run; what it gives is told how many more are done."""


class Silent:
    """Tells nothing."""

    def say(self, text: str) -> None:
        del text

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Advance]:
        del what, total
        yield lambda _count: None


class ConsoleReporter:
    """Tells people, on stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Advance]:
        if not self._console.is_terminal:
            yield self._plain(what, total)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)

    def _plain(self, what: str, total: int | None) -> Advance:
        done, told = 0, time.monotonic()

        def advance(count: int) -> None:
            nonlocal done, told
            done += count
            if time.monotonic() - told > PLAIN_EVERY_SECONDS:
                told = time.monotonic()
                self.say(f"{what}: {done:,}" + (f" of {total:,}" if total else ""))

        return advance
