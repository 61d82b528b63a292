"""``lienthong publish``: what an agency has, onto the bus."""

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bus import crashpoints
from bus.cli import console, err, print_json
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    ClusterOption,
    CodesDayOption,
    CodesOption,
    JsonOption,
    KafkaOption,
    MetricsFileOption,
    PrefixOption,
    RegistryOption,
    cluster,
)
from bus.metrics_file import metrics_kept
from bus.settings import from_options
from producers.filediff.job import DEFAULT_STATE, FileJob, Kind, Outcome
from producers.filediff.lines import ENCODINGS
from producers.filediff.progress import ConsoleReporter
from producers.filediff.run import publish_file

app = typer.Typer(no_args_is_help=True, help="Publish a register that this agency writes.")


@app.callback()
def publish() -> None:
    """Publish a register that this agency writes."""


@app.command("file")
def file_command(
    register: Annotated[str, typer.Argument(help="Register, such as resident.identity.")],
    file: Annotated[
        Path, typer.Argument(help="Export: CSV, TSV, XLSX or fixed-width; its header the register's field names.")
    ],
    agency: Annotated[str, typer.Option(help="Code of the agency that publishes.")],
    mapping: Annotated[
        Path | None, typer.Option(help="TOML file: which columns make which fields, and how they are cleaned.")
    ] = None,
    state: Annotated[
        Path,
        typer.Option("--state", envvar="LIENTHONG_STATE", help="Directory that remembers what was published."),
    ] = DEFAULT_STATE,
    file_format: Annotated[
        Kind | None, typer.Option("--format", help="What the file is; by default what its name ends in.")
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help="Between cells: one character, or the word tab; a comma by default, in TSV a tab."),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help=f"Of the file's bytes: {', '.join(ENCODINGS)}; by default the first.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(metavar="FILE|NAME:START:WIDTH,…", help="Where a fixed-width file's columns stand.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a workbook in which several hold something.")] = None,
    as_of: Annotated[
        datetime | None, typer.Option("--as-of", help="When the export was made; the file's own time by default.")
    ] = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Publish even what was made before a published export.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
    confirm_deletes: Annotated[
        bool, typer.Option("--confirm-deletes", "--yes", help="Delete even more than --max-delete-share.")
    ] = False,
    max_delete_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of what is published that one export may delete.")
    ] = 0.2,
    partial: Annotated[
        bool, typer.Option("--partial", help="Some subjects only: who is not in the export is not gone.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="JSON report; in the state directory by default.")] = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="CSV of refused rows; in the state directory by default.")
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
    metrics_file: MetricsFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare an export with what was published before, and send only what is new, changed or gone.

    Refused rows stay out and are named in the report; the others go out. Who is in the export but refused is not gone.
    """
    crashpoints.arm(os.environ.get("LIENTHONG_CRASH_AT"))
    where = cluster(kafka, registry, cluster_file)
    job = from_options(
        FileJob,
        {},
        register_name=register,
        file=file,
        agency=agency,
        kafka=where.kafka,
        registry=where.registry,
        catalog=catalog,
        prefix=prefix,
        schemas=schemas,
        codes=codes,
        codes_on=codes_on.date() if codes_on else None,
        mapping=mapping,
        state=state,
        format=file_format,
        delimiter=delimiter,
        encoding=encoding,
        layout=layout,
        sheet=sheet,
        as_of=as_of,
        allow_older=allow_older,
        partial=partial,
        dry_run=dry_run,
        confirm_deletes=confirm_deletes,
        max_delete_share=max_delete_share,
        report=report,
        quarantine=quarantine,
    )
    with metrics_kept(None if dry_run else metrics_file):
        outcome = asyncio.run(publish_file(job, ConsoleReporter(err)))
    if as_json:
        print_json(outcome.as_json())
    else:
        _print(outcome)


def _print(outcome: Outcome) -> None:
    console.print(_summary(outcome))
    for title, what, counted in (
        ("Cleaned", "rule", outcome.cleaned),
        ("To be looked at", "reason", outcome.doubted),
        ("Refused", "reason", outcome.refused),
    ):
        if counted:
            console.print(_counts(title, what, counted))
    for name in ("report", "changes", "reviews", "quarantine"):
        path = getattr(outcome, name)
        if path:
            console.print(f"{name}: {path}", markup=False, highlight=False)
    if outcome.refused:
        console.print("correct the quarantine file and publish it with --partial", highlight=False)


def _summary(outcome: Outcome) -> Table:
    title = f"{outcome.register} by {outcome.agency}" + (": dry run, nothing sent" if not outcome.sent else "")
    table = Table(title=title, show_header=False)
    for name, count in (
        ("rows read", outcome.rows),
        ("new", outcome.new),
        ("changed", outcome.changed),
        ("gone", outcome.gone),
        ("unchanged", outcome.unchanged),
        ("rows refused", outcome.refused_rows),
    ):
        table.add_row(name, f"{count:,}")
    table.add_row("seconds", f"{outcome.seconds:.1f}")
    return table


def _counts(title: str, what: str, counted: Mapping[str, int]) -> Table:
    table = Table(what, "values", title=title)
    for name, count in counted.items():
        table.add_row(name, f"{count:,}")
    return table
