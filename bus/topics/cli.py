"""``lienthong topics``: the catalogue's topics against the cluster."""

import asyncio
from typing import Annotated

import typer

from bus import kafka as clients
from bus.catalog import Catalog, load_catalog
from bus.cli import console, err, print_json
from bus.cli.confirming import confirm
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    JsonOption,
    KafkaOption,
    PrefixOption,
    cluster,
)
from bus.errors import ClusterMismatch
from bus.settings import KafkaSettings
from bus.topics import show
from bus.topics.cluster import apply, count_brokers, describe_with_config
from bus.topics.plan import Plan, dead_letter_topic, plan, wanted_topics
from bus.topics.repartition_cli import repartition_command

app = typer.Typer(no_args_is_help=True, help="The catalogue's topics on the cluster: plan, apply, repartition.")
app.command(name="repartition")(repartition_command)

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
    made = asyncio.run(
        _planned(cluster(kafka, None, cluster_file).kafka, load_catalog(catalog, prefix=prefix), registers)
    )
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
    made = asyncio.run(_planned(settings, load_catalog(catalog, prefix=prefix), registers))
    _print(made, json)
    if made.alter and not yes:
        confirm("Alter existing topics as shown?", "existing topics would be altered; run again with --yes")
    asyncio.run(apply(clients.admin(settings), made))
    if made.pending:
        err.print("Applied.")
    if made.mismatched:
        raise ClusterMismatch("; ".join(f"topic {each.topic} {each.remedy}" for each in made.mismatched))


async def _planned(settings: KafkaSettings, catalog: Catalog, names: list[str] | None) -> Plan:
    """Of the registers named; of all and the dead-letter topic when none is."""
    registers = tuple(map(catalog.register, names)) if names else tuple(catalog.registers.values())
    admin = clients.admin(settings)
    brokers = await count_brokers(admin, settings)
    wished = wanted_topics(catalog, registers, brokers)
    asked = [*(topic.name for topic in wished), *([] if names else [catalog.dead_letter_topic])]
    found = await describe_with_config(admin, asked)
    if not names:
        wished = (*wished, dead_letter_topic(catalog, brokers, found[catalog.dead_letter_topic]))
    return plan(wished, found)


def _print(made: Plan, as_json: bool) -> None:
    if as_json:
        print_json(show.as_json(made))
        return
    for line in show.lines(made):
        console.print(line, markup=False, highlight=False)
