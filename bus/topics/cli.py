"""``lienthong topics``: the catalogue's topics against the cluster."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from bus import kafka as clients
from bus.catalog import Catalog, Register, load_catalog
from bus.cli import console, err, print_json
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    JsonOption,
    KafkaOption,
    PrefixOption,
    cluster,
)
from bus.errors import ClusterMismatch, ConfirmationNeeded
from bus.settings import KafkaSettings
from bus.topics import show
from bus.topics.cluster import apply, count_brokers, describe_with_config
from bus.topics.plan import Plan, plan, wanted_topics

app = typer.Typer(no_args_is_help=True, help="The catalogue's topics on the cluster: plan and apply.")

RegistersArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[REGISTER]...", help="Only these registers; all of the catalogue by default."),
]
CHANGES_PENDING = 2


@app.command(name="plan")
def plan_command(
    registers: RegistersArgument = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    json: JsonOption = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there is something to apply.")
    ] = False,
) -> None:
    """Show what apply would do to the topics. Changes nothing."""
    made = asyncio.run(_planned(cluster(kafka, None, cluster_file).kafka, *_chosen(catalog, prefix, registers)))
    _print(made, json)
    if detailed_exitcode and made.pending:
        raise typer.Exit(CHANGES_PENDING)


@app.command(name="apply")
def apply_command(
    registers: RegistersArgument = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    json: JsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Alter existing topics without asking.")] = False,
) -> None:
    """Create the topics that are missing and alter those whose settings differ. Never deletes anything."""
    settings = cluster(kafka, None, cluster_file).kafka
    made = asyncio.run(_planned(settings, *_chosen(catalog, prefix, registers)))
    _print(made, json)
    if made.alter and not yes:
        _confirm()
    asyncio.run(apply(clients.admin(settings), made))
    if made.pending:
        err.print("Applied.")
    if made.mismatched:
        raise ClusterMismatch("; ".join(f"topic {each.topic} {each.remedy}" for each in made.mismatched))


def _chosen(path: Path | None, prefix: str | None, names: list[str] | None) -> tuple[Catalog, tuple[Register, ...]]:
    found = load_catalog(path, prefix=prefix)
    return found, tuple(map(found.register, names)) if names else tuple(found.registers.values())


async def _planned(settings: KafkaSettings, catalog: Catalog, registers: tuple[Register, ...]) -> Plan:
    admin = clients.admin(settings)
    wished = wanted_topics(catalog, registers, await count_brokers(admin, settings))
    return plan(wished, await describe_with_config(admin, [topic.name for topic in wished]))


def _print(made: Plan, as_json: bool) -> None:
    if as_json:
        print_json(show.as_json(made))
        return
    for line in show.lines(made):
        console.print(line, markup=False, highlight=False)


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise ConfirmationNeeded("existing topics would be altered; run again with --yes")
    if not typer.confirm("Alter existing topics as shown?", err=True):
        raise ConfirmationNeeded("nothing was changed")
