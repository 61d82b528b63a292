"""``lienthong replica``: run a replica, see how it stands, prove that it equals its sources."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TextIO

import structlog
import typer
from rich.table import Table as Sheet

from bus import crashpoints, kafka
from bus.catalog import Catalog, load_catalog
from bus.cli import console, print_json
from bus.cli.options import JsonOption
from bus.errors import BusError, ConfigInvalid, PathUnwritable, Unavailable
from bus.health import serving
from bus.log import configure, masked
from bus.names import RegisterName
from bus.registry import open_registry
from bus.settings import load_toml
from consumers.comparing import Comparison, compare, read_topics
from consumers.exporting import json_lines
from consumers.leaving import leave_within
from consumers.options import ConfigOption
from consumers.reading.book import SchemaBook
from consumers.rebuild_cli import held_register, rebuild_command
from consumers.replica import ReplicaDaemon
from consumers.route import find_route
from consumers.settings import ReplicaSettings
from consumers.showing import shown_progress
from consumers.stores import open_reader, open_store
from consumers.stores.base import Store
from consumers.stores.model import Slot

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Keep a local, queryable copy of the registers an agency is entitled to.",
)
app.command(name="rebuild")(rebuild_command)
log = structlog.get_logger(__name__)

SHOWN_KEYS = 5


@app.command()
def run(
    config: ConfigOption,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End with code 0 once everything there at the start is in.")
    ] = False,
    log_json: Annotated[
        bool | None, typer.Option("--log-json/--log-text", help="Log format; JSON unless on a terminal.")
    ] = None,
) -> None:
    """Fill the replica, then keep it in step until SIGTERM.

    A first run reads every register from its beginning, with progress; later runs go on from the last commit. A daemon
    waits for a broker or a database that is away; with --until-caught-up it gives up with code 4. SIGHUP has it read
    its configuration anew, and go on with the old one where the new one is wrong; where the database does not let go of
    it within drain_seconds it ends with code 4, to be started again.
    """
    crashpoints.arm(os.environ.get("LIENTHONG_CRASH_AT"))
    settings = load_toml(config, ReplicaSettings)
    configure(json=not sys.stderr.isatty() if log_json is None else log_json)
    asyncio.run(_run(config, settings, until_caught_up=until_caught_up))


async def _run(config: Path, settings: ReplicaSettings, *, until_caught_up: bool) -> None:
    wanted: ReplicaSettings | None = settings
    while wanted is not None:
        wanted = await _run_once(config, wanted, until_caught_up=until_caught_up)


async def _run_once(config: Path, settings: ReplicaSettings, *, until_caught_up: bool) -> ReplicaSettings | None:
    """Run one daemon to its end; gives the settings of the next one, where SIGHUP asked for it."""
    daemon = ReplicaDaemon(settings, *_needed(config, settings))
    successor: list[ReplicaSettings] = []
    reloading: list[threading.Timer] = []
    leaving = False

    def leave() -> None:
        nonlocal leaving
        leaving = True
        successor.clear()
        for timer in reloading:
            timer.cancel()
        leave_within(settings.replica.drain_seconds)
        daemon.stop()

    def reload() -> None:
        if leaving:
            return
        try:
            read = load_toml(config, ReplicaSettings)
            _needed(config, read)
        except BusError as error:
            log.warning("reload_refused", reason=error.reason, error=str(error))
            return
        log.info("reload_begun")
        successor[:] = [read]
        reloading.append(leave_within(settings.replica.drain_seconds, Unavailable.exit_code))
        daemon.stop()

    loop = asyncio.get_running_loop()
    for name, answer in ((signal.SIGTERM, leave), (signal.SIGINT, leave), (signal.SIGHUP, reload)):
        loop.add_signal_handler(name, answer)
    told = {"agency": settings.replica.agency, "replica": settings.replica.name}
    async with serving(settings.metrics.host, settings.metrics.port, daemon.unready) as port:
        log.info("replica_started", **told, metrics_port=port)
        async with shown_progress(daemon):
            with _failure_told(told):
                await daemon.run(until_caught_up=until_caught_up)
    for timer in reloading:
        timer.cancel()
    log.info("replica_stopped", **told)
    return successor[0] if successor else None


def _needed(config: Path, settings: ReplicaSettings) -> tuple[Catalog, Store]:
    """What a daemon is made of; nothing is opened yet. Raises ConfigInvalid with the file, and as ``load_catalog``."""
    try:
        return _catalog(settings), open_store(settings.replica.database)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{config}: {error}") from error


@contextmanager
def _failure_told(told: Mapping[str, str]) -> Iterator[None]:
    """The end of a daemon that fails stands in its log, with the process's code to be; raised on."""
    try:
        yield
    except BusError as error:
        log.error("replica_failed", **told, reason=error.reason, error=str(error), code=error.exit_code)  # noqa: TRY400
        raise
    except Exception as error:
        log.error("replica_failed", **told, reason="unexpected", error=type(error).__name__, code=1)  # noqa: TRY400
        raise


def _catalog(settings: ReplicaSettings) -> Catalog:
    """The catalogue, which knows this agency and these registers, and keeps no delete longer than this replica does."""
    catalog = load_catalog(settings.replica.catalog, prefix=settings.replica.prefix)
    catalog.agency(settings.replica.agency)
    graves = timedelta(days=settings.retention.graves_days)
    for name in settings.replica.registers:
        kept = catalog.register(name).deletes_kept
        if graves < kept:
            raise ConfigInvalid(
                f"retention.graves_days: {graves.days} is less than the {kept / timedelta(days=1):g} days that deletes "
                f"of {name} stay on its topics (delete.retention.ms); set it to at least that, so that no late event "
                "brings back what was deleted"
            )
    return catalog


@app.command()
def status(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Rows, phase, offsets and counters of each register, as the database has them."""
    settings = load_toml(config, ReplicaSettings)
    found = _standings(settings)
    if as_json:
        print_json(found)
        return
    sheet = Sheet("register", "state", "rows", "offsets", "applied", "superseded", "stale", "parked")
    for name, each in found.items():
        counts = [each["counters"].get(outcome, 0) for outcome in ("applied", "superseded", "stale", "parked")]
        sheet.add_row(name, each["state"], *(f"{number:,}" for number in (each["rows"], each["offsets"], *counts)))
    console.print(sheet)


def _standings(settings: ReplicaSettings) -> dict[RegisterName, dict[str, Any]]:
    with open_reader(settings.replica.database) as reader:
        found = {}
        for name in settings.replica.registers:
            standing = reader.status(name, count_rows=True)
            positions = reader.positions(name, Slot.LIVE)
            found[name] = {
                "state": f"{standing.phase}{' (filling)' if standing.filling else ''}",
                "rows": standing.rows or 0,
                "offsets": sum(position.next_offset for position in positions.values()),
                "counters": dict(reader.counters(name)),
            }
        return found


@app.command()
def export(
    register: Annotated[str, typer.Argument(help="Register to export, such as resident.identity.")],
    config: ConfigOption,
    out: Annotated[Path | None, typer.Option("--out", help="File to write (mode 0600) instead of stdout.")] = None,
) -> None:
    """Every row of a register as JSON Lines: key, fields, version, source, times. Personal data: keep it safe."""
    settings = load_toml(config, ReplicaSettings)
    with open_reader(settings.replica.database) as reader, _output(out) as file:
        for line in json_lines(reader.rows(held_register(settings, register)), reader.table(RegisterName(register))):
            file.write(line + "\n")


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    try:
        with open(out, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            yield file
    except OSError as error:
        raise PathUnwritable(f"{out}: cannot be written ({error.strerror}); choose another file") from error


@app.command()
def changes(
    config: ConfigOption,
    after: Annotated[str | None, typer.Option("--after", help="Cursor of the last change that was dealt with.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 1000,
) -> None:
    """The durable feed of what changed in the replica, oldest first, as JSON Lines with a cursor each.

    For the agency's own systems: keep the cursor with what you did, and ask again with --after.
    """
    settings = load_toml(config, ReplicaSettings)
    with open_reader(settings.replica.database) as reader:
        for change in reader.changes(after, limit):
            sys.stdout.write(json.dumps(asdict(change), ensure_ascii=False, default=str) + "\n")


@app.command(name="compare")
def compare_command(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Prove that the replica equals its topics, row by row: code 0 if so, 1 if not.

    Reads each register's topics from their beginning, by itself, and compares every column of every row. An event that
    the replica has not applied yet counts as behind.
    """
    settings = load_toml(config, ReplicaSettings)
    found = asyncio.run(_compare(settings))
    if as_json:
        print_json({name: _counted(each) for name, each in found.items()})
    else:
        _print_comparison(found)
    if not all(each.equal for each in found.values()):
        raise typer.Exit(1)


async def _compare(settings: ReplicaSettings) -> dict[RegisterName, Comparison]:
    catalog = load_catalog(settings.replica.catalog, prefix=settings.replica.prefix)
    admin = kafka.admin(settings.kafka)
    found = {}
    async with open_registry(settings.registry, settings.kafka) as registry:
        with open_reader(settings.replica.database) as reader:
            for name in settings.replica.registers:
                register = catalog.register(name)
                route = await find_route(admin, catalog, register)
                published = await read_topics(route, SchemaBook(register, registry), settings.kafka)
                found[name] = compare(published, reader.rows(name), reader.positions(name, Slot.LIVE))
    return found


def _counted(comparison: Comparison) -> dict[str, Any]:
    return {
        "equal": comparison.equal,
        "rows": comparison.rows,
        "missing": len(comparison.missing),
        "extra": len(comparison.extra),
        "different": len(comparison.different),
        "behind": comparison.behind,
    }


def _print_comparison(found: dict[RegisterName, Comparison]) -> None:
    sheet = Sheet("register", "verdict", "rows", "missing", "extra", "different", "behind", "keys (masked)")
    for name, each in found.items():
        counted = _counted(each)
        verdict = "[green]equal[/]" if counted.pop("equal") else "[red]not equal[/]"
        odd = (each.missing + each.extra + each.different)[:SHOWN_KEYS]
        sheet.add_row(name, verdict, *(f"{number:,}" for number in counted.values()), " ".join(map(masked, odd)))
    console.print(sheet)
