"""``python -m tests.benchmarks.filediff``: an export with few changes beside the same export published as a whole.

A million residents are published to an empty topic (every row read, validated and sent), then published again with one
row in a hundred changed, then as they are. Each run is a process of its own, as an office starts it, timed from outside.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

from bus.cli import console
from tests.benchmarks.events import residents
from tests.producing import IDENTITY, POLICE, prepare, registry_settings
from tests.stack import local_kafka

BAR_RATIO, BAR_MB = 5, 500


@dataclass(frozen=True, slots=True)
class Run:
    name: str
    seconds: float
    rss_mb: float
    outcome: dict[str, object]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def filediff(
    rows: Annotated[int, typer.Option(min=100, help="Rows of the export.")] = 1_000_000,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of rows that change.")] = 0.01,
    out: Annotated[Path, typer.Option(help="Where the figures are written.")] = Path("build/filediff.json"),
) -> None:
    """Print how long each run takes, its peak memory, and how often the run with few changes fits into the whole one."""
    with local_kafka() as stack, TemporaryDirectory() as folder:
        runs = measured(str(stack.status().bootstrap_servers), Path(folder), rows, share)
    found = figures(runs)
    console.print(table(runs))
    console.print(f"ratio {found['ratio']:.1f} (bar {BAR_RATIO}), peak {found['peak_mb']:.0f} MB (bar {BAR_MB})")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(servers: str, folder: Path, rows: int, share: float) -> list[Run]:

    prefix = f"filediff{time.time_ns()}"
    asyncio.run(prepare(servers, prefix))
    states = residents(rows)
    whole, changed = folder / "whole.csv", folder / "changed.csv"
    states.write_csv(whole)
    few = pl.int_range(pl.len()) % max(round(1 / share), 1) == 0 if share else pl.lit(value=False)
    states.with_columns(full_name=pl.when(few).then(pl.lit("Trần Thị Đổi")).otherwise("full_name")).write_csv(changed)
    del states
    steps = (("all rows sent", whole), (f"{share:.0%} changed", changed), ("nothing changed", changed))
    return [_run(name, file, servers, prefix, folder) for name, file in steps]


def figures(runs: list[Run]) -> dict[str, float]:
    whole, few, none = runs
    return {
        "whole_s": whole.seconds,
        "few_s": few.seconds,
        "unchanged_s": none.seconds,
        "ratio": whole.seconds / few.seconds,
        "peak_mb": max(run.rss_mb for run in runs),
    }


def table(runs: list[Run]) -> Table:
    made = Table("run", "rows", "events", "seconds", "rows/s", "peak MB", title="File diff")
    for run in runs:
        rows = int(str(run.outcome["rows"]))
        made.add_row(
            run.name,
            f"{rows:,}",
            f"{run.outcome['events']:,}",
            f"{run.seconds:.1f}",
            f"{rows / run.seconds:,.0f}",
            f"{run.rss_mb:.0f}",
        )
    return made


def _run(name: str, file: Path, servers: str, prefix: str, folder: Path) -> Run:
    usage = folder / "usage.json"
    command = [
        *(sys.executable, "-m", "tests.benchmarks.child", str(usage), "publish", "file", IDENTITY, str(file)),
        *("--agency", POLICE, "--kafka", servers, "--prefix", prefix, "--state", str(folder / "state"), "--json"),
        *("--registry", registry_settings(prefix).topic),
    ]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    used = json.loads(usage.read_text(encoding="utf-8"))
    return Run(name, seconds, used["rss_mb"], json.loads(done.stdout))


if __name__ == "__main__":
    app()
