"""``lienthong inbox``: a folder into which an office's nightly exports are put."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from bus import crashpoints
from bus.catalog import load_catalog
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    CodesDayOption,
    CodesOption,
    KafkaOption,
    MetricsFileOption,
    PrefixOption,
    RegistryOption,
    cluster,
    refuse_beside,
)
from bus.errors import ConfigInvalid, InputRefused, PathUnwritable
from bus.health import serving
from bus.log import configure
from bus.metrics_file import metrics_kept
from bus.names import TopicName
from bus.settings import from_options, load_toml
from producers.filediff.job import DEFAULT_STATE, Kind
from producers.filediff.place import held
from producers.inbox.inbox import Inbox
from producers.inbox.settings import InboxSettings

log = structlog.get_logger(__name__)
ROUTE = ("register", "pattern", "mapping", "delimiter", "encoding", "layout", "partial", "max_delete_share")
SAME = ("agency", "state", "companion", "catalog", "prefix", "codes", "codes_on")
KEYS = {
    **{name: f"{name} under [[route]]" for name in ROUTE},
    **{name: name for name in SAME},
    "file_format": "format under [[route]]",
    "settle": "settle_seconds",
    "poll": "poll_seconds",
    "metrics_port": "port under [metrics]",
    "kafka": "bootstrap_servers under [kafka]",
    "registry": "url or topic under [registry]",
    "cluster_file": "[kafka] and [registry]",
}
"""Where a ``--config`` file says what an option does."""

app = typer.Typer(no_args_is_help=True, help="Publish the exports that are put into a folder.")


@app.callback()
def inbox() -> None:
    """Publish the exports that are put into a folder."""


@app.command()
def watch(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Folder into which exports are put.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file for several registers, instead of the options.")
    ] = None,
    register: Annotated[str | None, typer.Option(help="Register of all files, such as resident.identity.")] = None,
    agency: Annotated[str | None, typer.Option(help="Code of the agency that publishes.")] = None,
    pattern: Annotated[str, typer.Option(help="Names of the files that are meant.")] = "*",
    mapping: Annotated[Path | None, typer.Option(help="TOML file: which columns make which fields.")] = None,
    file_format: Annotated[Kind | None, typer.Option("--format", help="By default what a name ends in.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between cells: one character, or the word tab.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the files' bytes; UTF-8 by default.")] = None,
    layout: Annotated[str | None, typer.Option(help="Where a fixed-width file's columns stand.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Who is not in an export is not gone.")] = False,
    max_delete_share: Annotated[float, typer.Option(min=0, max=1, help="That one export may delete.")] = 0.2,
    state: Annotated[
        Path, typer.Option("--state", envvar="LIENTHONG_STATE", help="Directory that remembers what was published.")
    ] = DEFAULT_STATE,
    settle: Annotated[float, typer.Option(min=0, help="Seconds without a change after which a file is complete.")] = 10,
    companion: Annotated[
        bool, typer.Option("--companion", help="Wait for name.ok or name.done beside each file.")
    ] = False,
    poll: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve /metrics, /livez and /readyz here; 0 for a free port.")
    ] = None,
    metrics_file: MetricsFileOption = None,
    once: Annotated[bool, typer.Option("--once", help="Take what is complete now, then end: for cron.")] = False,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    codes: CodesOption = None,
    codes_on: CodesDayOption = None,
) -> None:
    """Publish each file once it is complete, and move it to done/ or failed/ with its report.

    Files are taken in the order in which they were made; while the broker is away they wait. Killed and started again,
    nothing is lost and nothing sent twice. With --once it ends with 3 when a file has failed, with 4 when one waits.
    """
    crashpoints.arm(os.environ.get("LIENTHONG_CRASH_AT"))
    if metrics_file and not once:
        raise ConfigInvalid("--metrics-file: goes with --once; a watcher that stays serves them on --metrics-port")
    if config:
        refuse_beside(config, context, KEYS)
    where = cluster(kafka, registry, cluster_file)
    options: dict[str, Any] = {"kafka": where.kafka, "registry": where.registry, "catalog": catalog, "prefix": prefix}
    route = {
        "register": register,
        "pattern": pattern,
        "mapping": mapping,
        "format": file_format,
        "delimiter": delimiter,
        "encoding": encoding,
        "layout": layout,
        "partial": partial,
        "max_delete_share": max_delete_share,
    }
    options |= {"agency": agency, "route": [route], "state": state, "settle_seconds": settle, "companion": companion}
    options |= {"codes": codes, "codes_on": codes_on.date() if codes_on else None}
    options |= {"poll_seconds": poll, "metrics": {"port": metrics_port}}
    settings = load_toml(config, InboxSettings) if config else _settings(options)
    if not directory.is_dir():
        raise PathUnwritable(f"{directory}: no such folder; correct the path, or make the folder first")
    configure(json=not sys.stderr.isatty())
    with metrics_kept(metrics_file if once else None):
        found = asyncio.run(_watch(directory, settings, once=once))
    if once and found.away:
        raise found.away
    if once and found.failed:
        raise InputRefused(f"{directory}: {found.failed} of {found.failed + found.done} files failed; see failed/")


OPTIONS = {"settle_seconds": "settle", "poll_seconds": "poll", "port": "metrics-port"}
"""Options that are not called as their fields."""


def _settings(options: dict[str, Any]) -> InboxSettings:
    if options["agency"] is None or options["route"][0]["register"] is None:
        raise ConfigInvalid("an inbox needs --register and --agency, or a --config file")
    return from_options(InboxSettings, OPTIONS, **options)


async def _watch(directory: Path, settings: InboxSettings, *, once: bool) -> Inbox:
    """Raises what is wrong with the settings before any file is touched."""
    catalog = load_catalog(settings.catalog, prefix=settings.prefix)
    for route in settings.route:
        catalog.register(route.register_name).topic(catalog.agency(route.agency or settings.agency))
        settings.job(route, directory, directory, directory)
    watched = Inbox(directory, settings)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, watched.stop)
    async with AsyncExitStack() as stack:
        stack.enter_context(held(directory, TopicName(".inbox")))
        port = settings.metrics.port
        if port is not None and not once:
            port = await stack.enter_async_context(serving(settings.metrics.host, port, watched.unready))
        log.info("inbox_started", folder=str(directory), metrics_port=port)
        await watched.run(once=once)
    log.info("inbox_stopped", folder=str(directory), done=watched.done, failed=watched.failed)
    return watched
