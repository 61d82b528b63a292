"""``lienthong outbox``: tables into an agency's database, and the relay that sends what is in them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from bus.cli import console
from producers.outbox import install as installing
from producers.outbox.database import engine_for

app = typer.Typer(no_args_is_help=True, help="Publish from inside an agency's own transactions.")

UrlOption = Annotated[
    str,
    typer.Option("--url", envvar="LIENTHONG_OUTBOX_URL", help="Database, such as postgresql://user@host:5432/name."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the statements, run none.")]


@app.command()
def install(url: UrlOption, dry_run: DryRunOption = False) -> None:
    """Make the tables lienthong_outbox, lienthong_version and lienthong_relay, where they are missing."""
    engine = engine_for(url)
    _tell(installing.plan(engine) if dry_run else installing.install(engine), "everything is installed", dry_run)


@app.command()
def plan(url: UrlOption) -> None:
    """Print what install would run."""
    _tell(installing.plan(engine_for(url)), "everything is installed", dry_run=True)


@app.command()
def uninstall(
    url: UrlOption,
    dry_run: DryRunOption = False,
    confirmed: Annotated[bool, typer.Option("--yes", help="Even though rows wait to be sent.")] = False,
) -> None:
    """Take the tables away, with all that is in them."""
    done = installing.uninstall(engine_for(url), confirmed=confirmed, dry_run=dry_run)
    _tell(done, "nothing is installed", dry_run)


def _tell(statements: Sequence[str], nothing: str, dry_run: bool) -> None:
    if not statements:
        console.print(nothing)
    for statement in statements:
        first = statement.split("\n", 1)[0].rstrip(" (")
        console.print(f"{statement};\n" if dry_run else first, markup=False, highlight=False)
