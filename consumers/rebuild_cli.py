"""``lienthong replica rebuild``: fill registers anew beside the tables that lookups read, then swap."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bus.catalog import load_catalog
from bus.cli import console, err, print_json
from bus.cli.options import JsonOption
from bus.errors import RegisterUnknown
from bus.log import configure
from bus.names import RegisterName
from bus.settings import load_toml
from consumers.options import ConfigOption
from consumers.rebuilding import Rebuild, Standing, Watcher
from consumers.settings import ReplicaSettings
from consumers.showing import shown_progress

LINE_SECONDS = 5.0


def rebuild_command(
    config: ConfigOption,
    registers: Annotated[
        list[str] | None, typer.Option("--register", metavar="REGISTER", help="Only this one; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be read again. Changes nothing.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask the daemon and leave it to that.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read registers anew from their topics' beginning, then swap; lookups go on, on the old tables, until then.

    A running daemon sees the wish in its database and does it; where none runs, this command does. Needed where a topic
    was deleted and made again, or its log was cut, and of use wherever a replica is in doubt. Broken off, the next run
    of the daemon goes on with it.
    """
    settings = load_toml(config, ReplicaSettings)
    configure(json=not sys.stderr.isatty())
    chosen = [held_register(settings, name) for name in registers or settings.replica.registers]
    catalog = load_catalog(settings.replica.catalog, prefix=settings.replica.prefix)
    done, by = asyncio.run(_rebuild(Rebuild(settings, catalog, chosen), dry_run=dry_run, no_wait=no_wait))
    if as_json:
        print_json({"by": by, "registers": {each.register: _told(each) for each in done}})
        return
    for each in done:
        console.print(_line(each, by), markup=False, highlight=False)


async def _rebuild(rebuild: Rebuild, *, dry_run: bool, no_wait: bool) -> tuple[list[Standing], str]:
    """How the registers stand at the end, and who did it."""
    standings = await rebuild.look()
    if dry_run:
        return standings, "nobody"
    rebuild.ask()
    if no_wait:
        return standings, "asked"
    found: list[Standing] = []

    def keep(now: Sequence[Standing]) -> None:
        found[:] = now

    while True:
        with _shown(keep) as watch:
            if await rebuild.wait(watch):
                return found, "daemon"
        err.print("no daemon answers: rebuilding here", highlight=False)
        if await rebuild.do(shown_progress):
            await rebuild.wait(keep)
            return found, "command"


@contextmanager
def _shown(keep: Watcher) -> Iterator[Watcher]:
    """Bars on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(keep)
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err) as bars:
        tasks: dict[RegisterName, Any] = {}

        def watch(standings: Sequence[Standing]) -> None:
            keep(standings)
            for each in standings:
                if each.register not in tasks:
                    tasks[each.register] = bars.add_task(each.register, total=each.offsets)
                bars.update(tasks[each.register], completed=each.offsets if each.done else each.filled)

        yield watch


def _lines(keep: Watcher) -> Watcher:
    last = time.monotonic()

    def watch(standings: Sequence[Standing]) -> None:
        nonlocal last
        keep(standings)
        if time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        for each in standings:
            state = "rebuilt" if each.done else f"{each.filled:,} of {each.offsets:,} offsets"
            err.print(f"{each.register}: {state}", markup=False, highlight=False)

    return watch


def held_register(settings: ReplicaSettings, register: str) -> RegisterName:
    """Raises RegisterUnknown for one that this replica does not hold."""
    if register not in settings.replica.registers:
        held = ", ".join(settings.replica.registers)
        raise RegisterUnknown(f"{register}: this replica does not hold it; it holds {held}")
    return RegisterName(register)


def _told(standing: Standing) -> dict[str, Any]:
    return {"done": standing.done, "rows": standing.rows, "offsets": standing.offsets}


def _line(standing: Standing, by: str) -> str:
    what = f"{standing.rows:,} rows, {standing.offsets:,} offsets"
    if by == "nobody":
        return f"{standing.register}: would be read again: {what}"
    return f"{standing.register}: asked for" if by == "asked" else f"{standing.register}: rebuilt by the {by}: {what}"
