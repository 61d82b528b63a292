"""``lienthong outbox``: tables into an agency's database, and the relay that sends what is in them."""

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from bus import crashpoints
from bus.cli import console
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    CodesDayOption,
    CodesOption,
    KafkaOption,
    PrefixOption,
    RegistryOption,
    cluster,
)
from bus.errors import ConfigInvalid
from bus.log import configure
from bus.settings import from_options
from producers.outbox import install as installing
from producers.outbox import parked_cli
from producers.outbox.database import engine_at
from producers.outbox.options import UrlOption
from producers.outbox.relay.daemon import serve
from producers.outbox.relay.settings import RelaySettings

app = typer.Typer(no_args_is_help=True, help="Publish from inside an agency's own transactions.")
app.add_typer(parked_cli.app, name="parked")

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the statements, run none.")]


@app.command()
def install(url: UrlOption, dry_run: DryRunOption = False) -> None:
    """Make the tables lienthong_outbox, lienthong_version and lienthong_relay, where they are missing."""
    with engine_at(url) as engine:
        done = installing.plan(engine) if dry_run else installing.install(engine)
    _tell(done, "everything is installed", dry_run)


@app.command()
def plan(url: UrlOption) -> None:
    """Print what install would run."""
    with engine_at(url) as engine:
        _tell(installing.plan(engine), "everything is installed", dry_run=True)


@app.command()
def uninstall(
    url: UrlOption,
    dry_run: DryRunOption = False,
    confirmed: Annotated[bool, typer.Option("--yes", help="Even though rows wait to be sent.")] = False,
) -> None:
    """Take the tables away, with all that is in them."""
    with engine_at(url) as engine:
        done = installing.uninstall(engine, confirmed=confirmed, dry_run=dry_run)
    _tell(done, "nothing is installed", dry_run)


@app.command()
def relay(
    url: UrlOption,
    agency: Annotated[str, typer.Option(help="Code of the agency whose outbox this is.")],
    register: Annotated[str, typer.Option(help="Register to send, such as resident.identity.")],
    shard: Annotated[str, typer.Option(help="Share of the keys, k/n: 0/2 and 1/2 are two relays at work.")] = "0/1",
    keep: Annotated[str, typer.Option(help="How long sent rows stay: 7d, 12h, 30m; 0 deletes them at once.")] = "7d",
    lease: Annotated[float, typer.Option(help="Seconds of silence after which another relay takes over.")] = 10,
    transaction_rows: Annotated[int, typer.Option(help="Rows in one Kafka transaction, at most.")] = 20_000,
    drain: Annotated[float, typer.Option(help="Seconds that stopping may take.")] = 10,
    metrics_host: Annotated[str, typer.Option(help="Address of /metrics, /livez, /readyz.")] = "127.0.0.1",
    metrics_port: Annotated[int, typer.Option(help="Its port; 0 for a free one.")] = 0,
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End with code 0 once no row waits.")] = False,
    log_json: Annotated[
        bool | None, typer.Option("--log-json/--log-text", help="Log format; JSON unless on a terminal.")
    ] = None,
    schemas: Annotated[
        Path | None, typer.Option(envvar="LIENTHONG_SCHEMAS", help="Schemas folder; the shipped one by default.")
    ] = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    codes: CodesOption = None,
    codes_on: CodesDayOption = None,
) -> None:
    """Send an outbox's rows to the register's topic, in commit order per key, each once, until SIGTERM.

    A second one stands by, and takes over when the first has ended or is silent; ends with code 6 when taken over.
    """
    crashpoints.arm(os.environ.get("LIENTHONG_CRASH_AT"))
    configure(json=not sys.stderr.isatty() if log_json is None else log_json)
    where = cluster(kafka, registry, cluster_file)
    number, count = _shard(shard)
    settings = from_options(
        RelaySettings,
        OPTIONS,
        url=url,
        agency=agency,
        register_name=register,
        kafka=where.kafka,
        registry=where.registry,
        catalog=catalog,
        prefix=prefix,
        schemas=schemas,
        codes=codes,
        codes_on=codes_on.date() if codes_on else None,
        shard=number,
        shards=count,
        keep=_duration(keep),
        lease_seconds=lease,
        transaction_rows=transaction_rows,
        drain_seconds=drain,
    )
    asyncio.run(serve(settings, metrics_host, metrics_port, until_empty=until_empty))


OPTIONS = {"register_name": "register", "lease_seconds": "lease", "drain_seconds": "drain", "shards": "shard"}
"""Options that are not called as their fields."""


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
    if found is None:
        raise ConfigInvalid(f"--shard {text}: expected k/n, such as 0/2 and 1/2")
    return int(found[1]), int(found[2])


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text if text != "0" else "0s")
    if found is None:
        raise ConfigInvalid(f"--keep {text}: expected a number with s, m, h or d, such as 7d; or 0")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def _tell(statements: Sequence[str], nothing: str, dry_run: bool) -> None:
    if not statements:
        console.print(nothing)
    for statement in statements:
        first = statement.split("\n", 1)[0].rstrip(" (")
        console.print(f"{statement};\n" if dry_run else first, markup=False, highlight=False)
