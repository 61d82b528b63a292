"""``lienthong local``: a real bus on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from bus.cli import console, err, print_json
from bus.errors import ConfigInvalid

if TYPE_CHECKING:
    from bus.local.stack import LocalStack
    from bus.local.status import StackStatus

app = typer.Typer(no_args_is_help=True, help="Run a real Kafka, and PostgreSQL if wanted, on this machine.")

Directory = Annotated[Path, typer.Option("--dir", metavar="D", help="Where data, logs and ports are kept.")]
Cache = Annotated[
    Path | None, typer.Option("--cache", envvar="LIENTHONG_CACHE", help="Where downloads are kept for later starts.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Port = Annotated[
    int | None, typer.Option(min=1024, max=65000, help="Port of the first broker; the next ones follow it.")
]
HERE = Path(".lienthong")


@app.command()
def up(
    directory: Directory = HERE,
    brokers: Annotated[int | None, typer.Option(min=1, max=9, help="How many brokers a new stack has (1).")] = None,
    postgres: Annotated[bool, typer.Option("--postgres", help="With PostgreSQL; later starts remember it.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Erase the data there and start over.")] = False,
    port: Port = None,
    postgres_port: Annotated[int | None, typer.Option(min=1024, max=65535, help="Port of PostgreSQL.")] = None,
    cache: Cache = None,
    json: Json = False,
) -> None:
    """Start the servers and wait until they answer. The first time downloads Kafka (45 MB). Twice is harmless."""
    stack = _stack(
        directory, cache, brokers=brokers, postgres=postgres, port=port, postgres_port=postgres_port
    )  # fmt: skip
    status = stack.up(fresh=fresh)
    if json:
        print_json(status.model_dump(mode="json"))
        return
    console.print(f"Kafka       {status.bootstrap_servers}", highlight=False)
    if status.postgres_url:
        console.print(f"PostgreSQL  {status.postgres_url}", highlight=False)


@app.command()
def status(directory: Directory = HERE, json: Json = False) -> None:
    """Show each server: running, paused or stopped, its pid, port and log."""
    found = _stack(directory).status()
    if json:
        print_json(found.model_dump(mode="json"))
    elif found.nodes:
        console.print(_table(found))
    else:
        console.print(f"nothing in {found.directory}; start with: lienthong local up", markup=False)


@app.command()
def down(directory: Directory = HERE) -> None:
    """Stop the servers. Data and ports stay for the next start."""
    console.print("stopped" if _stack(directory).down() else "nothing was running")


def _stack(
    directory: Path,
    cache: Path | None = None,
    *,
    brokers: int | None = None,
    postgres: bool = False,
    port: int | None = None,
    postgres_port: int | None = None,
) -> "LocalStack":
    try:
        from bus.local.maven import DEFAULT_CACHE  # noqa: PLC0415 - the extra may be missing
        from bus.local.progress import ConsoleReport  # noqa: PLC0415
        from bus.local.stack import LocalStack  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigInvalid("the local stack needs more packages: pip install 'lienthong[local]'") from error
    return LocalStack(
        directory,
        brokers=brokers,
        postgres=postgres,
        port=port,
        postgres_port=postgres_port,
        cache=cache or DEFAULT_CACHE,
        report=ConsoleReport(err),
    )


def _table(status: "StackStatus") -> Table:
    table = Table(box=None)
    for heading in ("server", "state", "pid", "port", "log"):
        table.add_column(heading, overflow="fold")
    for node in status.nodes:
        table.add_row(node.name, node.state, str(node.pid or ""), str(node.port), str(node.log))
    return table
