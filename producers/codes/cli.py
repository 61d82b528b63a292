"""``lienthong codes``: the shared code lists, published as registers, and looked at."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bus.cli import console, err, print_json
from bus.cli.codes import ListsWanted
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    CodesOption,
    JsonOption,
    KafkaOption,
    PrefixOption,
    RegistryOption,
    cluster,
)
from bus.codes import Codebook
from bus.errors import ConfigInvalid
from producers.codes.publishing import Found, found, publish_codes
from producers.filediff.job import DEFAULT_STATE, Outcome
from producers.filediff.progress import ConsoleReporter

app = typer.Typer(no_args_is_help=True, help="The shared code lists: wards, countries, legal forms, …")

NOT_FOUND = 1
SchemasOption = Annotated[
    Path | None,
    typer.Option(envvar="LIENTHONG_SCHEMAS", help="Schemas folder with codes/; the shipped one by default."),
]
AtOption = Annotated[
    datetime | None, typer.Option("--at", formats=["%Y-%m-%d"], help="Only what is in force on that day.")
]


@app.command()
def publish(
    lists: Annotated[
        list[str] | None, typer.Argument(metavar="[LIST]...", help="Such as ward; by default all.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
    confirm_deletes: Annotated[
        bool, typer.Option("--confirm-deletes", "--yes", help="Delete even more than a fifth of a list.")
    ] = False,
    state: Annotated[
        Path, typer.Option("--state", envvar="LIENTHONG_STATE", help="Directory that remembers what was published.")
    ] = DEFAULT_STATE,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the shipped lists as code.ward and so on, in the platform's name; only what has changed is sent."""
    where = cluster(kafka, registry, cluster_file)
    outcomes = asyncio.run(
        publish_codes(
            lists or (),
            ConsoleReporter(err),
            kafka=where.kafka,
            registry=where.registry,
            catalog=catalog,
            prefix=prefix,
            schemas=schemas,
            state=state,
            dry_run=dry_run,
            confirm_deletes=confirm_deletes,
        )
    )
    if as_json:
        print_json([outcome.as_json() for outcome in outcomes])
    else:
        console.print(_sent(outcomes, dry_run=dry_run))


@app.command("list")
def list_command(
    name: Annotated[str | None, typer.Argument(metavar="[LIST]", help="Its entries; without it, the lists.")] = None,
    at: AtOption = None,
    codes: CodesOption = None,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which lists there are and where they come from, or one list's entries."""
    day = at.date() if at else None
    book = ListsWanted(codes, at, schemas, kafka, registry, cluster_file, catalog, prefix).open()
    if name is not None:
        _check_name(name, book)
        _show(found(book.lists[name], day), book, as_json=as_json)
        return
    rows = [_about(each, book) for each in book.lists]
    if as_json:
        print_json({"codes": book.told(), "lists": rows})
        return
    table = Table("list", "", "entries", "in force", "as", title=book.told())
    for row in rows:
        table.add_row(row["list"], row["title_vi"], f"{row['entries']:,}", f"{row['in_force']:,}", row["as"])
    console.print(table)


@app.command()
def show(
    code: Annotated[str, typer.Argument(help="Such as 26737.")],
    only: Annotated[str | None, typer.Option("--list", help="Of this list only.")] = None,
    at: AtOption = None,
    codes: CodesOption = None,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a code stands for, in each list and period of validity; ends with 1 where it stands for nothing."""
    day = at.date() if at else None
    book = ListsWanted(codes, at, schemas, kafka, registry, cluster_file, catalog, prefix).open()
    if only is not None:
        _check_name(only, book)
    rows = [row for name in ([only] if only else book.lists) for row in found(book.lists[name], day, code)]
    _show(rows, book, as_json=as_json)
    if not rows:
        raise typer.Exit(NOT_FOUND)


def _check_name(name: str, book: Codebook) -> None:
    if name not in book.lists:
        raise ConfigInvalid(f"{name}: no such code list; known are {', '.join(sorted(book.lists))}")


def _about(name: str, book: Codebook) -> dict[str, Any]:
    codes = book.lists[name]
    return {
        "list": name,
        "title": codes.title,
        "title_vi": codes.title_vi,
        "entries": len(codes.entries),
        "in_force": len(codes.current),
        "as": "published" if name in book.published else "shipped",
    }


def _show(rows: Iterable[Found], book: Codebook, *, as_json: bool) -> None:
    if as_json:
        print_json({"codes": book.told(), "entries": [row.model_dump() for row in rows]})
        return
    table = Table("list", "code", "name", "from", "to", "kind", "successor", title=book.told())
    for row in rows:
        successor = f"{row.successor_code} ({row.succession})" if row.successor_code else ""
        since, until = (day.isoformat() if day else "" for day in (row.valid_from, row.valid_to))
        table.add_row(row.list, row.code, row.name, since, until, row.kind or "", successor)
    console.print(table)


def _sent(outcomes: Iterable[Outcome], *, dry_run: bool) -> Table:
    title = "Code lists: dry run, nothing sent" if dry_run else "Code lists published"
    table = Table("register", "by", "new", "changed", "gone", "unchanged", "refused", title=title)
    for each in outcomes:
        counts = (each.new, each.changed, each.gone, each.unchanged, each.refused_rows)
        table.add_row(each.register, each.agency, *(f"{count:,}" for count in counts))
    return table
