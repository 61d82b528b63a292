"""Looks one adapter over before it goes live. Nothing is sent, nothing is changed."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Engine

from bus.catalog import load_catalog
from bus.cli.options import Cluster
from bus.errors import ConfigInvalid, FileRefused, PathUnwritable
from bus.settings import load_toml
from producers.adapter.bus_side import Terms, bus_side
from producers.adapter.database_side import forms, judged_rows, look_at_outbox, table_rows, waiting_rows
from producers.adapter.findings import Checklist, Effect
from producers.adapter.rows import first_rows, judged
from producers.adapter.settings import Bus, DatabaseAdapter
from producers.filediff.header import check_header, check_mapped
from producers.filediff.job import FileJob
from producers.filediff.lines import UTF8
from producers.filediff.opening import opened
from producers.inbox.folder import entries
from producers.inbox.settings import InboxSettings, Route
from producers.inbox.waiting import exports
from producers.mapping import Mapping
from producers.mapping.reading import read_mapping
from producers.outbox.database import engine_for

SAMPLES = Path("sample")


async def check_exports(settings: InboxSettings, inbox: Path, only: str | None, sample: Path | None) -> Checklist:
    """An adapter of kind file. ``only``: this register; ``sample``: this export instead of one that lies there."""
    found = Checklist()
    bus = Bus.model_validate({name: getattr(settings, name) for name in Bus.model_fields})
    _look_at_folders(settings, inbox, found)
    routes = _chosen(settings.route, only)
    if sample is not None and len(routes) > 1:
        raise ConfigInvalid("--sample: the adapter has several registers; name one with --register")
    async with bus_side(bus, load_catalog(bus.catalog, prefix=bus.prefix), found) as side:
        for route in routes:
            name = route.register_name
            terms = await side.terms(name, route.agency or settings.agency) if side else None
            file = sample or _export(route, inbox)
            if terms is None:
                found.add(name, "sample", "could not be looked at, for what is told above", "unknown")
            elif file is None:
                found.add(name, "sample", f"no export in {inbox / route.folder} nor in {SAMPLES}/", "look")
                with found.looking(name, "mapping"):
                    _mapping(settings.job(route, inbox, inbox, inbox), terms)
            else:
                _look_at_export(settings.job(route, file, inbox, inbox), terms, found)
    return found


async def check_database(settings: DatabaseAdapter, url: str | None, only: str | None) -> Checklist:
    """An adapter of kind outbox or capture."""
    found = Checklist()
    place = url or (settings.url.get_secret_value() if settings.url else None)
    if place is None:
        raise ConfigInvalid("no database: set LIENTHONG_OUTBOX_URL, such as by: set -a; . ./adapter.env; set +a")
    where = load_toml(settings.cluster, Cluster) if settings.cluster else Cluster()
    given = {name: getattr(settings, name) for name in ("agency", "catalog", "prefix", "schemas", "codes", "codes_on")}
    bus = Bus(kafka=where.kafka, registry=where.registry, **given)
    engine = engine_for(place)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        usable = look_at_outbox(engine, found, captured=settings.kind == "capture")
        names = [each for each in settings.registers if only in {None, each}]
        if not names:
            raise ConfigInvalid(f"--register {only}: not among the adapter's registers")
        async with bus_side(bus, load_catalog(bus.catalog, prefix=bus.prefix), found) as side:
            for name in names:
                terms = await side.terms(name, settings.agency) if side else None
                if terms is not None and settings.kind == "capture":
                    _look_at_table(engine, settings, terms, found)
                elif terms is not None and usable:
                    _look_at_rows(engine, terms, found)
                else:
                    found.add(name, "sample", "could not be looked at, for what is told above", "unknown")
    return found


def _chosen(routes: Iterable[Route], only: str | None) -> list[Route]:
    chosen = [route for route in routes if only in {None, route.register_name}]
    if not chosen:
        raise ConfigInvalid(f"--register {only}: the adapter has no route for it")
    return chosen


def _look_at_folders(settings: InboxSettings, inbox: Path, found: Checklist) -> None:
    """Whether files can be taken, moved and remembered; a folder that is not there yet can be made."""
    for point, folder in (("inbox", inbox), ("state", settings.state)):
        with found.looking("files", point):
            there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
            if not (there.is_dir() and os.access(there, os.R_OK | os.W_OK | os.X_OK)):
                raise PathUnwritable(f"{folder}: {there} cannot be written by this user; give it the right to")
            found.add("files", point, f"{folder} can be written")


def _export(route: Route, inbox: Path) -> Path | None:
    """The oldest export that waits, else a sample that bears the register's name."""
    folder = inbox / route.folder
    waiting = exports(entries(folder)) if folder.is_dir() else []
    taken = sorted((entry for entry in waiting if route.takes(entry.name)), key=lambda entry: entry.made)
    samples = sorted(SAMPLES.glob(f"{route.register_name}.*"))
    return next((folder / entry.name for entry in taken), next(iter(samples), None))


def _look_at_export(job: FileJob, terms: Terms, found: Checklist) -> None:
    name = terms.register.name
    with found.looking(name, "mapping"):
        mapping = _mapping(job, terms)
        charset = read_mapping(job.mapping)[0].source.bytes_are if job.mapping else UTF8
        with opened(job, charset) as reader:
            if mapping is None:
                check_header(job.file.name, reader.header, terms.release.schema, job.delimiter, partial=job.partial)
                found.add(name, "mapping", f"none: the columns of {job.file.name} are the register's own")
            else:
                check_mapped(job.file.name, reader.header, mapping, job.delimiter, partial=job.partial)
                unused = mapping.check(reader.header, job.file.name)
                more = f"; not used: {', '.join(unused)}" if unused else ""
                found.add(name, "mapping", f"{job.mapping} fits the register and {job.file.name}{more}")
            chunk = first_rows(reader.chunks())
            if chunk is None:
                raise FileRefused(f"{job.file.name}: has no rows")
            _tell(found, terms, len(chunk), f"rows of {job.file}", judged(chunk, terms, mapping))


def _mapping(job: FileJob, terms: Terms) -> Mapping | None:
    return Mapping.load(job.mapping, terms.release.schema, terms.codes.lists) if job.mapping else None


def _look_at_rows(engine: Engine, terms: Terms, found: Checklist) -> None:
    with found.looking(terms.register.name, "sample"):
        rows = waiting_rows(engine, terms)
        _tell(found, terms, len(rows), f"waiting rows ({forms(rows)})", judged_rows(rows, terms))


def _look_at_table(engine: Engine, settings: DatabaseAdapter, terms: Terms, found: Checklist) -> None:
    name = terms.register.name
    with found.looking(name, "mapping"):
        if settings.table is None or settings.mapping is None:
            raise ConfigInvalid("capture needs `table` and `mapping` in adapter.toml")
        mapping = Mapping.load(settings.mapping, terms.release.schema, terms.codes.lists)
        chunk = table_rows(engine, settings.table, mapping, terms.register.key_field)
        unused = mapping.check(chunk.cells.columns, settings.table)
        more = f"; not used: {', '.join(unused)}" if unused else ""
        found.add(name, "mapping", f"{settings.mapping} fits the register and {settings.table}{more}")
        _tell(found, terms, len(chunk), f"rows of {settings.table}", judged(chunk, terms, mapping))


def _tell(found: Checklist, terms: Terms, rows: int, of_what: str, made: tuple[int, list[Effect]]) -> None:
    good, effects = made
    found.effects += effects
    told = f"{good} of {rows} {of_what} would be sent; none was"
    found.add(terms.register.name, "sample", told, "fine" if good == rows else "look")
