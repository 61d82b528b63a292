"""A bootstrap's progress for people: bars on a terminal, a line now and then elsewhere."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from bus.cli import err
from consumers.replica import ReplicaDaemon

log = structlog.get_logger(__name__)

BAR_SECONDS = 0.2
LINE_SECONDS = 5.0


@asynccontextmanager
async def shown_progress(daemon: ReplicaDaemon) -> AsyncIterator[None]:
    """Show what each register is doing until the block ends."""
    show = _bars(daemon) if sys.stderr.isatty() else _lines(daemon)
    task = asyncio.create_task(show, name="progress")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _bars(daemon: ReplicaDaemon) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=err, transient=True) as bars:
        while True:
            for each in daemon.following:
                name, progress = each.register.name, each.condition.progress
                if progress is not None:
                    task = tasks[name] if name in tasks else tasks.setdefault(name, bars.add_task(name, state=""))
                    state = each.condition.doing.split(", ", 1)[-1]
                    bars.update(task, completed=progress.done, total=progress.target, state=state)
            await asyncio.sleep(BAR_SECONDS)


async def _lines(daemon: ReplicaDaemon) -> None:
    while True:
        await asyncio.sleep(LINE_SECONDS)
        for each in daemon.following:
            if each.condition.progress is not None and each.condition.doing:
                log.info("bootstrap_progressed", register=each.register.name, state=each.condition.doing)
