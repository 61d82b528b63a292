"""``python -m tests.fuzz``: rubbish for every reader, a table of what came of it, and build/fuzz.json."""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tests.fuzz.running import run
from tests.fuzz.targets import TARGETS

console = Console()
NAMES = ", ".join(TARGETS)


def main(
    reader: Annotated[list[str] | None, typer.Option(help=f"Only these: {NAMES}.")] = None,
    inputs: Annotated[int, typer.Option(min=1, help="For each reader.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same inputs.")] = 1,
    start: Annotated[int, typer.Option(min=0, help="Number of the first: goes on where a run was broken off.")] = 0,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    output: Annotated[Path, typer.Option()] = Path("build/fuzz.json"),
) -> None:
    """Ends with 1 where a reader did anything but parse or refuse, or where not all inputs were tried."""
    unknown = sorted(set(reader or ()) - TARGETS.keys())
    if unknown:
        raise typer.BadParameter(f"no reader {unknown[0]}; known are {NAMES}")
    began = time.perf_counter()
    with console.status("") as status:
        report = run(
            dict.fromkeys(reader or TARGETS, inputs),
            seed,
            processes,
            lambda name, done, wanted: status.update(f"{name}: {done:,} of {wanted:,}"),
            first=start,
        )
    seconds = time.perf_counter() - began
    console.print(_table(report))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        json.dumps({"seed": seed, "start": start, "seconds": round(seconds, 1), "readers": report}, indent=1)
    )
    findings = [(name, each) for name, told in report.items() for each in told["findings"]]
    for name, each in findings:
        console.print(f"[red]{name}[/]: {each['what']} (seed {each['seed']}, input {each['number']})", highlight=False)
    console.print(f"{sum(told['inputs'] for told in report.values()):,} inputs, {len(findings)} findings: {output}")
    short = [name for name, told in report.items() if told["inputs"] < inputs]
    if short:
        console.print(f"[red]not all tried[/]: {', '.join(short)}", highlight=False)
    raise typer.Exit(1 if findings or short else 0)


def _table(report: dict[str, dict[str, Any]]) -> Table:
    table = Table("reader", *(("inputs", "parsed", "refused", "seconds", "slowest ms", "findings")))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, told in report.items():
        counts = [f"{told[key]:,}" for key in ("inputs", "parsed", "refused")]
        table.add_row(name, *counts, f"{told['seconds']:.1f}", f"{told['slowest_ms']:.0f}", str(len(told["findings"])))
    return table


if __name__ == "__main__":
    typer.run(main)
