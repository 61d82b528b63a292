"""Looks an adapter of exports over before it goes live. Nothing is sent, nothing is changed."""

import os
from collections.abc import Iterable
from pathlib import Path

from bus.catalog import load_catalog
from bus.errors import ConfigInvalid, FileRefused, PathUnwritable
from producers.adapter.bus_side import Terms, bus_side
from producers.adapter.findings import Checklist
from producers.adapter.rows import first_rows, judged, tell
from producers.adapter.settings import Bus
from producers.filediff.header import check_header, check_mapped
from producers.filediff.job import FileJob
from producers.filediff.lines import UTF8
from producers.filediff.opening import opened
from producers.inbox.folder import entries
from producers.inbox.settings import InboxSettings, Route
from producers.inbox.waiting import exports
from producers.mapping import Mapping
from producers.mapping.reading import read_mapping

SAMPLES = Path("sample")


async def check_exports(settings: InboxSettings, inbox: Path, only: str | None, sample: Path | None) -> Checklist:
    """An adapter of kind file. ``only``: this register; ``sample``: this export instead of one that lies there."""
    found = Checklist()
    bus = Bus.model_validate({name: getattr(settings, name) for name in Bus.model_fields})
    _look_at_folders(settings, inbox, found)
    routes = _chosen(settings.route, only)
    _check_sample(sample, routes)
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


def _chosen(routes: Iterable[Route], only: str | None) -> list[Route]:
    chosen = [route for route in routes if only in {None, route.register_name}]
    if not chosen:
        raise ConfigInvalid(f"--register {only}: the adapter has no route for it")
    return chosen


def _check_sample(sample: Path | None, routes: list[Route]) -> None:
    if sample is not None and len(routes) > 1:
        raise ConfigInvalid("--sample: the adapter has several registers; name one with --register")
    if sample is not None and not sample.is_file():
        raise FileRefused(f"{sample}: no such file; name an export that can be read")


def _look_at_folders(settings: InboxSettings, inbox: Path, found: Checklist) -> None:
    """Whether files can be taken, moved and remembered; a folder that is not there yet can be made."""
    for point, folder in (("inbox", inbox), ("state", settings.state)):
        with found.looking("files", point):
            there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
            if not (there.is_dir() and os.access(there, os.R_OK | os.W_OK | os.X_OK)):
                raise PathUnwritable(f"{folder}: {there} cannot be written by this user; give it the right to")
            if point == "inbox" and not folder.exists():
                found.add("files", point, f"{folder} is not there yet; before the watcher starts: mkdir -p {folder}")
            else:
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
            tell(found, terms, len(chunk), f"rows of {job.file}", judged(chunk, terms, mapping))


def _mapping(job: FileJob, terms: Terms) -> Mapping | None:
    return Mapping.load(job.mapping, terms.release.schema, terms.codes.lists) if job.mapping else None
