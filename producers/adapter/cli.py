"""``lienthong adapter``: an agency's adapter as a project, and whether it is fit to go live."""

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bus.catalog import load_catalog
from bus.cli import console, print_json
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    JsonOption,
    KafkaOption,
    PrefixOption,
    RegistryOption,
    cluster,
)
from bus.errors import ConfigInvalid
from producers.adapter.export_check import check_exports
from producers.adapter.findings import Checklist
from producers.adapter.project import Plan, chosen, render, write
from producers.adapter.settings import Kind, load_adapter
from producers.inbox.settings import InboxSettings

app = typer.Typer(
    no_args_is_help=True, help="An agency's adapter: a project to begin with, and a look before it goes live."
)

STYLES = {"fine": "green", "look": "yellow", "wrong": "bold red", "unknown": "dim"}
SchemasOption = Annotated[
    Path | None, typer.Option(envvar="LIENTHONG_SCHEMAS", help="Schemas folder; the shipped one by default.")
]


@app.command()
def new(
    agency: Annotated[str, typer.Option(help="Code of the agency, such as H29.5.")],
    kind: Annotated[
        Kind, typer.Option(help="file: exports; outbox: a program of the agency's; capture: a table of PostgreSQL's.")
    ] = "file",
    register: Annotated[
        list[str] | None, typer.Option(help="Register to publish; several times for several. By default its own ones.")
    ] = None,
    directory: Annotated[Path | None, typer.Option("--dir", help="adapter-<agency> here by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Write a project that runs as it stands: configuration, mapping, sample, unit, README."""
    known = load_catalog(catalog, prefix=prefix)
    code = known.agency(agency)
    plan = Plan(
        kind=kind,
        agency=code,
        catalog=known,
        catalog_file=catalog.absolute() if catalog else None,
        prefix=prefix,
        schemas=schemas.absolute() if schemas else None,
        registers=chosen(known, code, register or ())[: 1 if kind == "capture" else None],
        bus=cluster(kafka, registry, cluster_file),
    )
    target = directory or Path(f"adapter-{plan.slug}")
    for path in write(target, render(plan), force=force):
        console.print(str(path), markup=False, highlight=False)
    console.print(f"next: cd {target} && lienthong adapter check", markup=False, highlight=False)


@app.command()
def check(
    config: Annotated[Path, typer.Option("--config", help="The adapter's file.")] = Path("adapter.toml"),
    register: Annotated[str | None, typer.Option(help="Of this register only.")] = None,
    sample: Annotated[
        Path | None, typer.Option(help="Export whose first 100 rows are tried; by default one in the inbox or sample/.")
    ] = None,
    inbox: Annotated[Path, typer.Option(help="With exports: the folder that is watched.")] = Path("inbox"),
    url: Annotated[
        str | None, typer.Option("--url", envvar="LIENTHONG_OUTBOX_URL", help="With outbox and capture: the database.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with an adapter before it goes live; nothing is sent and nothing changed.

    Ends with 0 where it may go live, 1 where rows of the sample would be refused, else as what is wrong first: 3 the
    configuration, 4 a server is away, 7 the topic or the schema is not the catalogue's.
    """
    settings = load_adapter(config)
    if isinstance(settings, InboxSettings):
        found = asyncio.run(check_exports(settings, inbox, register, sample))
    else:
        found = asyncio.run(_database().check_database(settings, url, register))
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _database() -> Any:
    """The look at a database, loaded only for those who have one."""
    try:
        import_module("sqlalchemy")
    except ImportError as error:
        raise ConfigInvalid("a database needs its libraries; run: pip install 'lienthong[outbox,postgres]'") from error
    return import_module("producers.adapter.database_check")


def _print(found: Checklist) -> None:
    for each in found.findings:
        console.print(f"[{STYLES[each.verdict]}]{each.verdict:8}[/]", end="")
        console.print(f"{each.about}: {each.point}: {each.told}", markup=False, highlight=False)
    if found.effects:
        table = Table("register", "effect", "field", "rule", "rows", "first", "expected", title="The sample's rows")
        for effect in found.effects:
            place = (f"{effect.rows:,}", str(effect.first))
            table.add_row(effect.register, effect.effect, effect.field, effect.rule, *place, effect.expected)
        console.print(table)
