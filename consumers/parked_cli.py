"""``lienthong parked``: look at the events that a replica could not apply, replay or dismiss them, forward them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

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
    RegistryOption,
    cluster,
    refuse_beside,
)
from bus.errors import ConfigInvalid
from bus.names import RegisterName
from bus.registry import open_registry
from bus.settings import KafkaSettings, RegistrySettings, load_toml
from consumers.options import DatabaseOption, InsteadOption, chosen, database_of
from consumers.parked import showing
from consumers.parked.forwarder import Forwarder
from consumers.parked.replaying import Replayer, Tally
from consumers.parked.selection import Selection, read_moment, read_origins
from consumers.settings import ReplicaSettings
from consumers.stores import open_desk, open_reader

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The events that a replica could not apply: list, show, replay, dismiss, forward.",
)

KEYS = {
    "kafka": "bootstrap_servers under [kafka]",
    "cluster_file": "[kafka] and [registry]",
    "registry": "url or topic under [registry]",
    "catalog": "catalog under [replica]",
    "prefix": "prefix under [replica]",
}
"""Where a replica's file says what an option of ``replay`` does."""

NOT_FOUND = STILL_PARKED = 1

OriginsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ORIGIN]...", help="These events: topic id/partition/offset, as listed.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only with this reason, such as body_invalid.")]
RegisterOption = Annotated[str | None, typer.Option("--register", help="Only of this register.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only parked at or after: 2026-07-01T08:30:00+07:00.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only parked before.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every parked event; needed when nothing narrows it down.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Which replica, and what its events are decoded with."""

    database: str
    catalog: Catalog
    kafka: KafkaSettings
    registry: RegistrySettings


@app.command(name="list")
def list_command(
    context: typer.Context,
    database: DatabaseOption = None,
    config: InsteadOption = None,
    reason: ReasonOption = None,
    register: RegisterOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Events on a page.")] = 100,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ORIGIN", help="The page after this event, the last of one before.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show parked events, a page at a time, in order of their origins; keys are masked."""
    selection = _selection(None, register, reason, since, until)
    [start] = read_origins([after]) if after else [None]
    with open_reader(database_of(chosen(context, database, config))) as reader:
        events = selection.page(reader, limit, start)
        counts = reader.parked_counts()
    rest = str(events[-1].origin) if len(events) == limit else None
    if as_json:
        found = [showing.document(each) for each in events]
        print_json({"events": found, "next": rest, "counts": showing.count_documents(counts)})
        return
    if events:
        console.print(showing.sheet_of(events))
    total, waiting = sum(each.events for each in counts), sum(each.waiting for each in counts)
    err.print(f"{len(events):,} shown of {total:,} parked; {waiting:,} not in the dead-letter topic yet")
    if rest:
        err.print(f"there may be more: --after {rest}", markup=False, highlight=False)


@app.command()
def show(
    context: typer.Context,
    origin: Annotated[str, typer.Argument(metavar="ORIGIN", help="topic id/partition/offset, as listed.")],
    database: DatabaseOption = None,
    config: InsteadOption = None,
    whole: Annotated[
        bool, typer.Option("--bytes", help="Key, value and headers as well. Personal data: look and forget.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one parked event: why, from where, since when. Code 1 when there is none of this origin."""
    [wanted] = read_origins([origin])
    with open_reader(database_of(chosen(context, database, config))) as reader:
        event = reader.parked_event(wanted)
    if event is None:
        err.print("no event of this origin is parked")
        raise typer.Exit(NOT_FOUND)
    if as_json:
        print_json(showing.document(event, whole=whole))
        return
    for line in showing.lines(event, whole=whole):
        console.print(line, markup=False, highlight=False)


@app.command()
def replay(
    context: typer.Context,
    origins: OriginsArgument = None,
    database: DatabaseOption = None,
    config: InsteadOption = None,
    reason: ReasonOption = None,
    register: RegisterOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = None,
    everything: AllOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen; change nothing.")] = False,
    kafka: KafkaOption = DEFAULT_KAFKA,
    cluster_file: ClusterOption = None,
    registry: RegistryOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decode parked events again with the schemas of now, and apply them, daemon running or not.

    Versions decide: what is older than the replica's row is counted as stale and parked no more. Events whose cause
    still stands stay parked, with a count. Code 0 when none of them is parked any more, 1 when some are, 4 while the
    register is being filled.
    """
    selection = _narrowed(_selection(origins, register, reason, since, until, limit), everything)
    meant = chosen(context, database, config)
    if isinstance(meant, Path):
        refuse_beside(meant, context, KEYS)
        told = load_toml(meant, ReplicaSettings)
        found = load_catalog(told.replica.catalog, prefix=told.replica.prefix)
        place = Place(told.replica.database, found, told.kafka, told.registry)
    else:
        reached = cluster(kafka, registry, cluster_file)
        found = load_catalog(catalog, prefix=prefix)
        place = Place(meant, found, reached.kafka, reached.registry)
    tally = asyncio.run(_replay(place, selection, dry=dry_run))
    _tell(tally, dry=dry_run, as_json=as_json)
    if tally.still_parked:
        raise typer.Exit(STILL_PARKED)


async def _replay(place: Place, selection: Selection, *, dry: bool) -> Tally:
    tally = Tally()
    with open_desk(place.database) as desk:
        async with open_registry(place.registry, place.kafka) as registry:
            replayer = Replayer(desk, place.catalog, registry, dry=dry)
            for page in selection.pages(desk):
                tally += await replayer.replay(page[0].register, page)
    return tally


def _tell(tally: Tally, *, dry: bool, as_json: bool) -> None:
    standing = dict(tally.standing or {})
    if as_json:
        counts = {"applied": tally.applied, "stale": tally.stale, "superseded": tally.superseded}
        print_json({**counts, "still_parked": standing, "dry_run": dry})
        return
    told = f"{tally.applied:,} applied, {tally.stale:,} stale, {tally.superseded:,} superseded"
    causes = ", ".join(f"{n:,} {reason}" for reason, n in sorted(standing.items()))
    console.print(f"{'would be: ' if dry else ''}{told}; still parked: {causes or 'none'}", highlight=False)


@app.command()
def dismiss(
    context: typer.Context,
    origins: OriginsArgument = None,
    database: DatabaseOption = None,
    config: InsteadOption = None,
    reason: ReasonOption = None,
    register: RegisterOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = None,
    everything: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give parked events up: their bytes are erased here, and a rebuild does not park them again.

    The replica goes on without these changes until a newer event of the same subject comes. Code 5 when not confirmed.
    """
    selection = _narrowed(_selection(origins, register, reason, since, until, limit), everything)
    with open_desk(database_of(chosen(context, database, config))) as desk:
        pages = [[each.origin for each in page] for page in selection.pages(desk)]
        count = sum(map(len, pages))
        if count and not yes:
            what = f"{count:,} parked events would be given up"
            confirm(f"{what}. Do so?", f"{what}; run again with --yes")
        gone = sum(desk.dismiss(page) for page in pages)
    if as_json:
        print_json({"dismissed": gone})
    else:
        console.print(f"{gone:,} dismissed", highlight=False)


@app.command()
def forward(
    config: Annotated[Path, typer.Option("--config", envvar="LIENTHONG_REPLICA", help="The replica's TOML file.")],
    once: Annotated[bool, typer.Option("--once", help="What waits now, then end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the parked events that wait to the dead-letter topic, as the daemon does by itself.

    Code 0 when nothing waits any more, 1 when the topic refused some as too large, 7 when there is no such topic.
    """
    if not once:
        raise ConfigInvalid("say --once: the daemon forwards by itself as long as it runs")
    settings = load_toml(config, ReplicaSettings)
    sent, left = asyncio.run(_forward(settings))
    if as_json:
        print_json({"forwarded": sent, "waiting": left})
    else:
        console.print(f"{sent:,} forwarded, {left:,} wait", highlight=False)
    if left:
        raise typer.Exit(STILL_PARKED)


async def _forward(settings: ReplicaSettings) -> tuple[int, int]:
    catalog = load_catalog(settings.replica.catalog, prefix=settings.replica.prefix)
    with open_desk(settings.replica.database) as desk:
        topic, agency = catalog.dead_letter_topic, settings.replica.agency
        sent = await Forwarder(desk, asyncio.to_thread, settings.kafka, topic, agency).forward()
        return sent, desk.waiting()


def _selection(
    origins: Sequence[str] | None,
    register: str | None,
    reason: str | None,
    since: str | None,
    until: str | None,
    limit: int | None = None,
) -> Selection:
    named = read_origins(origins or ())
    of = RegisterName(register) if register else None
    selection = Selection(named, of, reason, read_moment(since), read_moment(until), limit)
    if named and selection != Selection(named):
        raise ConfigInvalid("name either origins, or conditions that events are to meet")
    return selection


def _narrowed(selection: Selection, everything: bool) -> Selection:
    if not everything and not selection.narrow:
        raise ConfigInvalid("which events? name origins, or --register, --reason, --since, --until, or say --all")
    return selection
