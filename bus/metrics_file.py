"""Metrics of commands that end, kept in a file for node_exporter's textfile collector.

What ends cannot be scraped. The file's counters go on from run to run, as a daemon's do, and a gauge stands until a run
sets it again. Only this project's metrics are in it: those of the process itself would meet node_exporter's own.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import REGISTRY, write_to_textfile
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bus.errors import ConfigInvalid, PathUnwritable

PREFIX = "lienthong_"
KINDS = ("counter", "gauge")
Labels = tuple[tuple[str, str], ...]
Figures = Mapping[tuple[str, Labels], float]
"""By a sample's name and its labels."""


@contextmanager
def metrics_kept(path: Path | None) -> Iterator[None]:
    """At the block's end, however it ends, what happened in it is added to the file; without a path, nothing is done.

    The file is replaced as a whole and readable by everyone: a run that is killed leaves the one before. Raises
    ConfigInvalid or PathUnwritable before the block where the file cannot be kept.
    """
    if path is None:
        yield
        return
    _check(path)
    before = figures(REGISTRY.collect())
    try:
        yield
    except BaseException:
        with suppress(PathUnwritable):
            _add(path, before)
        raise
    _add(path, before)


def figures(families: Iterable[Metric]) -> Figures:
    """Counters and gauges of this project, without the times at which counters were made."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        if family.name.startswith(PREFIX) and family.type in KINDS
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def together(kept: Figures, before: Figures, after: Figures, counters: frozenset[str]) -> Figures:
    """What was kept with what a run did: counters grow by what the run added, gauges are as it left them."""
    grown = {
        each: kept.get(each, 0) + value - before.get(each, 0) if each[0] in counters else value
        for each, value in after.items()
    }
    return {**kept, **grown}


class _Kept(Collector):
    """Figures under the names, kinds and words that this release has for them; others are left out."""

    def __init__(self, kept: Figures) -> None:
        self._kept = kept

    def collect(self) -> Iterator[Metric]:
        for family in _known():
            told = Metric(family.name, family.documentation, family.type)
            for (name, labels), value in sorted(self._kept.items()):
                if name == _sample(family):
                    told.add_sample(name, dict(labels), value)
            if told.samples:
                yield told


def _known() -> list[Metric]:
    return [each for each in REGISTRY.collect() if each.name.startswith(PREFIX) and each.type in KINDS]


def _sample(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _check(path: Path) -> None:
    if path.suffix != ".prom":
        raise ConfigInvalid(f"--metrics-file {path}: node_exporter reads names that end in .prom; name such a file")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise PathUnwritable(f"{path.parent}: cannot be written; give --metrics-file a directory that is there")
    if any(not name.startswith(PREFIX) for name, _ in _read(path)):
        raise ConfigInvalid(f"--metrics-file {path}: holds other programs' figures; name a file of its own")


def _read(path: Path) -> Figures:
    """What a file says; nothing where it is not there yet, or is damaged."""
    with suppress(ValueError), _plainly(path):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    return {}


def _add(path: Path, before: Figures) -> None:
    counters = frozenset(_sample(each) for each in _known() if each.type == "counter")
    with _plainly(path), _alone(path.parent):
        kept = together(_read(path), before, figures(REGISTRY.collect()), counters)
        mask = os.umask(0o022)  # node_exporter is another user; the file has no personal data
        try:
            write_to_textfile(str(path), _Kept(kept))
        finally:
            os.umask(mask)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One run at a time adds; the others wait the moment that it takes."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PathUnwritable(f"{path}: {error.strerror}; name another --metrics-file") from error
