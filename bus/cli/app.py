import logging
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import cast

import typer
from typer.core import TyperCommand, TyperGroup

from bus.cli.console import console, err
from bus.errors import BusError
from bus.log import configure

ENTRY_POINTS = "lienthong.commands"


class CommandsByEntryPoint(TyperGroup):
    """Loads a group only when it is called, so that ``lookup`` never waits for the adapters' libraries."""

    def list_commands(self, _ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(point.name for point in entry_points(group=ENTRY_POINTS))

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]  # noqa: ARG002
        found = [point for point in entry_points(group=ENTRY_POINTS) if point.name == cmd_name]
        return _loaded(found[0]) if found else None


def _loaded(point: EntryPoint) -> TyperCommand | TyperGroup:
    command = cast("TyperCommand | TyperGroup", typer.main.get_command(point.load()))
    command.name = point.name
    return command


app = typer.Typer(
    cls=CommandsByEntryPoint,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Liên thông: what is entered once is never collected again.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"lienthong {version('lienthong')}")
        raise typer.Exit


@app.callback()
def lienthong(
    _version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_print_version, is_eager=True
    ),
) -> None:
    """Publish registers, keep replicas, look people, businesses and dossiers up."""
    configure(json=not sys.stderr.isatty(), level=logging.ERROR)  # a retry is no news; what fails is raised


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 on success, 2 for wrong usage, else the code of the error's class."""
    try:
        app(args=list(argv) if argv is not None else None, prog_name="lienthong")
    except BusError as error:
        err.print(f"[bold red]error[/] {error.reason}: ", end="")
        err.print(str(error), markup=False, highlight=False)
        sys.exit(error.exit_code)
