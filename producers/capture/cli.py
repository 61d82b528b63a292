"""``lienthong capture``: a table of a system nobody can change, followed by triggers or by PostgreSQL's log."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bus import crashpoints
from bus.catalog import load_catalog
from bus.cli import console, err, print_json
from bus.cli.codes import ListsWanted
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    CodesDayOption,
    CodesOption,
    JsonOption,
    KafkaOption,
    PrefixOption,
    RegistryOption,
    cluster,
)
from bus.log import configure
from bus.schema import load_register
from bus.settings import from_options
from producers.capture import install as installing
from producers.capture.follow.daemon import serve
from producers.capture.follow.settings import FollowSettings
from producers.capture.snapshot import ROWS
from producers.capture.snapshot import snapshot as take
from producers.capture.status import status_of
from producers.capture.table import Way
from producers.capture.triggers import OnTruncate
from producers.mapping import Mapping
from producers.outbox.database import engine_at
from producers.outbox.options import UrlOption

app = typer.Typer(no_args_is_help=True, help="Publish from a database whose programs cannot be changed.")

TableOption = Annotated[str, typer.Option("--table", help="Table to follow, such as persons or office.persons.")]
RegisterOption = Annotated[str, typer.Option("--register", help="Register that its rows become.")]
AgencyOption = Annotated[str, typer.Option("--agency", help="Code of the agency that writes the register.")]
MappingOption = Annotated[Path, typer.Option("--mapping", help="Which columns make which fields: docs/cleaning.md.")]
WayOption = Annotated[
    Way, typer.Option("--way", help="triggers: they feed the outbox. log: PostgreSQL's own, nothing on the table.")
]
TruncateOption = Annotated[
    OnTruncate, typer.Option("--on-truncate", help="With triggers: refuse TRUNCATE, or delete each row's subject.")
]
SchemasOption = Annotated[
    Path | None,
    typer.Option("--schemas", envvar="LIENTHONG_SCHEMAS", help="Schemas folder; the shipped one by default."),
]


@app.command()
def install(
    url: UrlOption,
    table: TableOption,
    register: RegisterOption,
    agency: AgencyOption,
    mapping: MappingOption,
    way: WayOption = "triggers",
    on_truncate: TruncateOption = "refuse",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements, run none.")] = False,
    catalog: CatalogOption = None,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    prefix: PrefixOption = None,
    codes: CodesOption = None,
    codes_on: CodesDayOption = None,
) -> None:
    """Follow a table from now on: table, mapping and rights are checked first, then all is made at once."""
    lists = ListsWanted(codes, codes_on, schemas, kafka, registry, cluster_file, catalog, prefix)
    ask = _ask(table, register, agency, mapping, way, on_truncate, lists)
    with engine_at(url) as engine:
        _tell(installing.plan(engine, ask) if dry_run else installing.install(engine, ask), dry_run=dry_run)
        for warning in installing.warnings(engine, ask):
            err.print(f"warning: {warning}", markup=False, highlight=False)


@app.command()
def plan(
    url: UrlOption,
    table: TableOption,
    register: RegisterOption,
    agency: AgencyOption,
    mapping: MappingOption,
    way: WayOption = "triggers",
    on_truncate: TruncateOption = "refuse",
    catalog: CatalogOption = None,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    prefix: PrefixOption = None,
    codes: CodesOption = None,
    codes_on: CodesDayOption = None,
) -> None:
    """Print what install would run."""
    lists = ListsWanted(codes, codes_on, schemas, kafka, registry, cluster_file, catalog, prefix)
    ask = _ask(table, register, agency, mapping, way, on_truncate, lists)
    with engine_at(url) as engine:
        _tell(installing.plan(engine, ask), dry_run=True)


@app.command()
def uninstall(
    url: UrlOption,
    table: TableOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements, run none.")] = False,
) -> None:
    """Take triggers, functions, publication and slot away. What waits in the outbox is still sent."""
    with engine_at(url) as engine:
        _tell(installing.uninstall(engine, table, dry_run=dry_run), dry_run=dry_run)


@app.command()
def snapshot(
    url: UrlOption,
    table: TableOption,
    rows: Annotated[int, typer.Option(min=1, help="Rows in one transaction, at most.")] = ROWS,
    catalog: CatalogOption = None,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    prefix: PrefixOption = None,
    codes: CodesOption = None,
    codes_on: CodesDayOption = None,
) -> None:
    """With triggers: put the table as it stands into the outbox, beside whoever writes. Killed, it goes on."""
    crashpoints.arm(os.environ.get("LIENTHONG_CRASH_AT"))
    known = load_catalog(catalog)
    wanted = ListsWanted(codes, codes_on, schemas, kafka, registry, cluster_file, catalog, prefix)
    with engine_at(url) as engine:
        lists = wanted.open().lists
        for each in installing.captures(engine, table, "triggers"):
            source = installing.table_of(engine, each, known, load_register(each.register, schemas)[-1], lists)
            read, put = take(engine, each, source, _progress, rows)
            console.print(f"{each.register}: {read:,} rows read, {put:,} put into the outbox", highlight=False)


@app.command()
def status(url: UrlOption, as_json: JsonOption = False) -> None:
    """What is captured, how far its snapshot is, what waits, and how much log a slot keeps."""
    with engine_at(url) as engine:
        found = status_of(engine)
    if as_json:
        print_json(found)
        return
    shown = Table("table", "register", "way", "snapshot", "unsent", "parked", "slot")
    for each in found:
        slot = each["slot"]
        kept = f"{slot['lag_bytes']:,} bytes, {slot['state']}" if slot else ""
        numbers = (f"{each[name]:,}" for name in ("unsent", "parked"))
        shown.add_row(each["table"], each["register"], each["way"], each["snapshot"], *numbers, kept)
    console.print(shown if found else "nothing is captured")


@app.command()
def run(
    url: UrlOption,
    table: TableOption,
    register: RegisterOption,
    agency: AgencyOption,
    max_lag_bytes: Annotated[
        int, typer.Option(min=1, help="Of log that the slot may keep: at half of it warn, beyond it stop.")
    ] = 4 * 1024**3,
    when_full: Annotated[
        str, typer.Option(help="Beyond it: stop, and the log stays; or drop the slot too, and the disk is safe.")
    ] = "stop",
    confirm_deletes: Annotated[
        bool | None,
        typer.Option(
            "--confirm-deletes/--keep-absent",
            help="Of subjects that are published and in no row of a table read afresh: delete even more than "
            "--max-delete-share; or none.",
        ),
    ] = None,
    max_delete_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of what is published that one reading may delete.")
    ] = 0.2,
    lease: Annotated[float, typer.Option(help="Seconds of silence after which another one takes over.")] = 10,
    transaction_rows: Annotated[int, typer.Option(help="Rows in one Kafka transaction, about.")] = 5_000,
    drain: Annotated[float, typer.Option(help="Seconds that stopping may take.")] = 10,
    metrics_host: Annotated[str, typer.Option(help="Address of /metrics, /livez, /readyz.")] = "127.0.0.1",
    metrics_port: Annotated[int, typer.Option(help="Its port; 0 for a free one.")] = 0,
    until_current: Annotated[
        bool, typer.Option("--until-current", help="End with code 0 once all that is committed now is sent.")
    ] = False,
    log_json: Annotated[
        bool | None, typer.Option("--log-json/--log-text", help="Log format; JSON unless on a terminal.")
    ] = None,
    schemas: SchemasOption = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    codes: CodesOption = None,
    codes_on: CodesDayOption = None,
) -> None:
    """With --way log: send the table as it stands, then its changes in commit order, each once, until SIGTERM.

    A second one stands by, and takes over when the first has ended or is silent; ends with code 6 when taken over.
    With triggers it is lienthong outbox relay.
    """
    crashpoints.arm(os.environ.get("LIENTHONG_CRASH_AT"))
    configure(json=not sys.stderr.isatty() if log_json is None else log_json)
    where = cluster(kafka, registry, cluster_file)
    settings = from_options(
        FollowSettings,
        OPTIONS,
        url=url,
        table=table,
        agency=agency,
        register_name=register,
        kafka=where.kafka,
        registry=where.registry,
        catalog=catalog,
        prefix=prefix,
        schemas=schemas,
        codes=codes,
        codes_on=codes_on.date() if codes_on else None,
        max_lag_bytes=max_lag_bytes,
        when_full=when_full,
        confirm_deletes=confirm_deletes,
        max_delete_share=max_delete_share,
        lease_seconds=lease,
        transaction_rows=transaction_rows,
        drain_seconds=drain,
    )
    asyncio.run(serve(settings, metrics_host, metrics_port, until_current=until_current))


def _ask(
    table: str,
    register: str,
    agency: str,
    mapping: Path,
    way: Way,
    on_truncate: OnTruncate,
    lists: ListsWanted,
) -> installing.Ask:
    """Checks the catalogue's side; the database's is checked when it is asked."""
    known = load_catalog(lists.catalog)
    chosen, writer = known.register(register), known.agency(agency)
    chosen.topic(writer)
    schema = load_register(chosen.name, lists.schemas)[-1]
    return installing.Ask(table, chosen, writer, Mapping.load(mapping, schema, lists.open().lists), way, on_truncate)


OPTIONS = {"register_name": "register", "lease_seconds": "lease", "drain_seconds": "drain"}
"""Options that are not called as their fields."""


def _progress(read: int, put: int) -> None:
    err.print(f"{read:,} rows read, {put:,} put into the outbox", highlight=False)


def _tell(statements: list[str], *, dry_run: bool) -> None:
    if not statements:
        console.print("everything is installed")
    for statement in statements:
        first = statement.split("\n", 1)[0].rstrip(" (")
        console.print(f"{statement};\n" if dry_run else first, markup=False, highlight=False)
