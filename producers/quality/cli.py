"""``lienthong quality``: how good what this agency hands in is, and whether it gets better."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bus.cli import console, print_json
from bus.cli.options import JsonOption
from bus.errors import InputRefused
from producers.filediff.job import DEFAULT_STATE
from producers.quality.history import History, history_file
from producers.quality.run import Number, Run, deltas, names

app = typer.Typer(no_args_is_help=True, help="How good the data is that this agency hands in.")

RegisterChoice = Annotated[str | None, typer.Option(help="Only this register, such as resident.identity.")]
StateOption = Annotated[
    Path, typer.Option("--state", envvar="LIENTHONG_STATE", help="Directory that remembers what was published.")
]


@app.command()
def history(
    register: RegisterChoice = None,
    state: StateOption = DEFAULT_STATE,
    last: Annotated[int, typer.Option(min=1, help="So many runs of each register.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show the trend over the last runs: rows in, out and sent, values changed by rule, rows refused by reason."""
    series = [runs[: last + 1] for runs in _by_writer(_runs(state, register)).values()]
    if as_json:
        print_json({"runs": [_told(run, before) for runs in series for run, before in _pairs(runs, last)]})
        return
    for runs in series:
        console.print(_trend(runs, last))


@app.command()
def show(register: RegisterChoice = None, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """Show the last run's report in numbers, and where its files are."""
    runs = _runs(state, register)
    run = runs[0]
    before = next((each for each in runs[1:] if _writer(each) == _writer(run)), None)
    if as_json:
        print_json(_told(run, before) | {"report": dict(run.report)})
        return
    table = Table("", "last run", "since the run before", title=f"{run.register} by {run.agency}, {_head(run, ', ')}")
    changes = deltas(run, before)
    for name in names([run, before] if before else [run]):
        table.add_row(_words(name), _number(run.counters.get(name, 0)), _delta(changes.get(name, 0)))
    console.print(table)
    for name, value in run.report.items():
        if isinstance(value, str) and name in {"file", "report", "quarantine", "changes", "reviews"}:
            console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)


def _runs(state: Path, register: str | None) -> list[Run]:
    found = History(history_file(state)).runs(register)
    if not found:
        raise InputRefused(
            f"{state}: no run {f'of {register} ' if register else ''}yet; publish an export, or name --state"
        )
    return found


def _writer(run: Run) -> tuple[str, str]:
    return run.register, run.agency


def _by_writer(runs: list[Run]) -> dict[tuple[str, str], list[Run]]:
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault(_writer(run), []).append(run)
    return found


def _pairs(runs: list[Run], last: int) -> list[tuple[Run, Run | None]]:
    """Each of the last runs, newest first, with the one before it."""
    return [(run, before) for run, before in pairwise([*runs, None]) if run is not None][:last]


def _told(run: Run, before: Run | None) -> dict[str, Any]:
    return {
        "number": run.number,
        "at": run.at,
        "register": run.register,
        "agency": run.agency,
        "marks": run.marks,
        "counters": run.counters,
        "deltas": deltas(run, before),
    }


def _trend(runs: list[Run], last: int) -> Table:
    """Counters down, runs across, the oldest first; below each number how it moved."""
    shown = list(reversed(_pairs(runs, last)))
    newest = runs[0]
    table = Table("", title=f"{newest.register} by {newest.agency}")
    for run, _ in shown:
        table.add_column(_head(run, "\n"), justify="right")
    for name in names(run for run, _ in shown):
        cells = (
            " ".join(filter(None, (_number(run.counters.get(name, 0)), _delta(deltas(run, before).get(name, 0)))))
            for run, before in shown
        )
        table.add_row(_words(name), *cells)
    return table


def _head(run: Run, between: str) -> str:
    """When it began, and what has to be known of it."""
    return between.join((run.at[:16].replace("T", " "), *run.marks))


def _words(name: str) -> str:
    group, _, inner = name.partition(".")
    return f"{group.replace('_', ' ')}: {inner}" if inner else group.replace("_", " ")


def _number(value: Number) -> str:
    return f"{value:,}"


def _delta(value: Number) -> str:
    return f"({value:+,})" if value else ""
