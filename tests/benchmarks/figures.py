"""The figures of a run: their bars, the table that people read, and the flat object that scripts read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Column, Table

from tests.benchmarks.rounds import Found


@dataclass(frozen=True, slots=True)
class Figure:
    key: str
    what: str
    bar: float
    moonshot: float | None
    more_is_better: bool = True

    def verdict(self, value: float | None) -> str:
        if value is None:
            return "-"
        if self.moonshot is not None and self._meets(value, self.moonshot):
            return "[bold green]moonshot[/]"
        return "[green]yes[/]" if self._meets(value, self.bar) else "[red]no[/]"

    def _meets(self, value: float, limit: float) -> bool:
        return value >= limit if self.more_is_better else value <= limit


FIGURES = (
    Figure("pg_vs_debezium", "Kafka → PostgreSQL, empty, against Debezium's JDBC sink", 3, 5),
    Figure("pg_vs_copy", "the same against raw COPY of the same rows", 0.55, 0.8),
    Figure("sqlite_vs_executemany", "Kafka → SQLite, empty, against bare executemany", 0.5, 0.8),
    Figure("columnar_vs_row", "columnar path against row path, Kafka → PostgreSQL", 3, 6),
    Figure(
        "poison_vs_clean", "the same with one event in 10,000 that cannot be decoded, against a clean run", 0.8, None
    ),
    Figure("pg_update_vs_debezium", "every row updated again, against Debezium's JDBC sink", 2, 4),
    Figure("publish_vs_send", "encode and publish, against plain send", 1.5, 4),
    Figure("replica_rss_mb", "resident memory while applying the largest topic, MB", 400, 250, more_is_better=False),
    Figure("pg_scaling_4x", "time for four times the events, PostgreSQL", 4.6, 4.1, more_is_better=False),
    Figure("sqlite_scaling_4x", "time for four times the events, SQLite", 4.6, 4.1, more_is_better=False),
    Figure("latency_p50_ms", "publish to visible in PostgreSQL, median, ms", 15, 6, more_is_better=False),
    Figure("latency_p99_ms", "publish to visible in PostgreSQL, 99th percentile, ms", 80, 25, more_is_better=False),
    Figure("lookup_per_s", "lookups by id a second, SQLite", 5_000, 20_000),
    Figure("lookup_p99_ms", "lookup by id, 99th percentile, ms", 1, None, more_is_better=False),
)
KEYS = tuple(figure.key for figure in FIGURES)


def flat(found: Mapping[str, float]) -> dict[str, float | None]:
    """Every figure of the table, ``None`` for what was not run, then the absolute ones."""
    every = [*KEYS, *(key for key in found if key not in KEYS)]
    return {key: _rounded(found.get(key)) for key in every}


def write(path: Path, found: Found) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(flat(found), indent=1) + "\n", encoding="utf-8")


def bars_table(found: Found) -> Table:
    table = Table(Column("figure", no_wrap=True), "what", "found", "bar", "moonshot", "met", title="Bars")
    for figure in FIGURES:
        value = found.get(figure.key)
        limits = (_text(value), _text(figure.bar), _text(figure.moonshot))
        table.add_row(figure.key, figure.what, *limits, figure.verdict(value))
    return table


def absolute_table(found: Found) -> Table:
    table = Table("figure", "found", title="Absolute figures, on this machine")
    for key in _absolute(found):
        table.add_row(key, _text(found[key]))
    return table


def _absolute(found: Iterable[str]) -> list[str]:
    return [key for key in found if key not in KEYS]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
