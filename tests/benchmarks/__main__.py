"""The command: makes its data and its servers, takes the measures, prints a table, writes the flat object."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bus.cli import console
from tests.benchmarks.figures import KEYS, absolute_table, bars_table, write
from tests.benchmarks.measures import chosen
from tests.benchmarks.profile import profile
from tests.benchmarks.rounds import FAILURES, Found
from tests.benchmarks.servers import servers
from tests.benchmarks.workshop import SMALL, Sizes, Workshop

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="KEY,…", help="Take only these figures, such as pg_vs_copy; or none."),
    ] = None,
    events: Annotated[int | None, typer.Option("--events", min=100, help="Size of the main topic (500,000).")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="How often contenders run (3).")] = None,
    small: Annotated[bool, typer.Option("--small", help="Tiny sizes: proves that all runs, measures nothing.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Where the flat object is written.")] = Path("build/bench.json"),
    profiled: Annotated[
        bool, typer.Option("--profile", help="Sample where a replica's time goes (py-spy), after the measures.")
    ] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Folder of the servers and files.")] = Path("build/bench"),
) -> None:
    """Measure every path of Liên thông beside its peers, on a Kafka and a PostgreSQL of its own.

    Figures not taken are null. Ends with code 1 when a measure failed; slow is no failure.
    """
    keys = _keys(only)
    sizes = SMALL if small else Sizes()
    given = {name: value for name, value in (("events", events), ("rounds", rounds)) if value is not None}
    found = _run(directory.absolute(), replace(sizes, **given), keys, out, profiled=profiled)
    console.print(bars_table(found), absolute_table(found))
    console.print(f"written to {out}", markup=False, highlight=False)
    if any(key not in found for key in keys):
        raise typer.Exit(1)


def _keys(only: str | None) -> list[str]:
    keys = list(KEYS) if only is None else [] if only == "none" else only.split(",")
    unknown = [key for key in keys if key not in KEYS]
    if unknown:
        raise typer.BadParameter(f"no figure {unknown[0]}; there are {', '.join(KEYS)}", param_hint="--only")
    return keys


def _run(directory: Path, sizes: Sizes, keys: list[str], out: Path, *, profiled: bool) -> Found:
    """Take the measures; what is found is on disk after each, so that a run that is cut keeps what it had."""
    shutil.rmtree(directory / "work", ignore_errors=True)
    found: Found = {}
    write(out, found)
    try:
        with servers(directory / "stack") as started:
            shop = Workshop(directory, started, sizes)
            for measure, asked in chosen(keys).items():
                shop.say(f"— {', '.join(asked)}")
                with _going_on(shop):
                    found |= measure.take(shop, asked)
                    write(out, found)
            if profiled:
                shop.say("— profile")
                with _going_on(shop):
                    console.print(*profile(shop, out))
    finally:
        shutil.rmtree(directory / "work", ignore_errors=True)
    return found


@contextmanager
def _going_on(shop: Workshop) -> Iterator[None]:
    """Tell a failure, and go on with the next measure."""
    try:
        yield
    except FAILURES as error:
        shop.say(f"failed: {error}")


if __name__ == "__main__":
    app(prog_name="python -m tests.benchmarks")
