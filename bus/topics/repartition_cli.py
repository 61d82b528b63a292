"""``lienthong topics repartition``: another partition count for a register."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bus import crashpoints
from bus.catalog import load_catalog
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
from bus.topics.facts import partitions as counted
from bus.topics.repartition import Moved, Passage, Repartition

LINE_RECORDS = 100_000


def repartition_command(
    register: Annotated[str, typer.Argument(metavar="REGISTER")],
    partitions: Annotated[int, typer.Option("--partitions", min=1, metavar="N", help="Of the new generation.")],
    kafka: KafkaOption = DEFAULT_KAFKA,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    json: JsonOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be copied where. Changes nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
) -> None:
    """Copy a register to a new generation of its topic with another partition count, and send its writer there.

    The writer goes on until nearly all is copied; then it is fenced, and the old topic takes nothing more. Broken off
    anywhere, the same command goes on. Afterwards put what it prints into the catalogue, and restart adapters and
    replicas with it: replicas rebuild beside the table that lookups read.
    """
    crashpoints.arm(os.environ.get("LIENTHONG_CRASH_AT"))
    known = load_catalog(catalog, prefix=prefix)
    work = Repartition(cluster(kafka, None, cluster_file).kafka, known, known.register(register), partitions)
    plan = asyncio.run(work.plan())
    entry = f'[registers."{register}"]\npartitions = {partitions}\ngeneration = {work.generation}'
    if not dry_run:
        if not yes and not all(each.done for each in plan):
            _confirm(plan)
        asyncio.run(_move(work, plan))
    if json:
        print_json(_document(register, work, plan, partitions, dry_run=dry_run))
        return
    for each in plan:
        console.print(_line(each, dry_run=dry_run), markup=False, highlight=False)
    told = "The catalogue would then say:" if dry_run else "Copied. Now let the catalogue say:"
    console.print(f"{told}\n\n{entry}", markup=False, highlight=False)


async def _move(work: Repartition, plan: Sequence[Passage]) -> None:
    for passage in plan:
        with _shown(passage) as moved:
            await work.move(passage, moved)


@contextmanager
def _shown(passage: Passage) -> Iterator[Moved]:
    """A bar on a terminal; elsewhere a line now and then."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=err, transient=True) as bars:
            task = bars.add_task(passage.new, total=passage.offsets, completed=passage.copied)
            yield lambda records: bars.advance(task, records)
        return
    seen = 0

    def moved(records: int) -> None:
        nonlocal seen
        before, seen = seen, seen + records
        if before // LINE_RECORDS != seen // LINE_RECORDS:
            err.print(f"{passage.new}: {seen:,} records copied", highlight=False)

    yield moved


def _confirm(plan: Sequence[Passage]) -> None:
    topics = ", ".join(each.old for each in plan if not each.done)
    otherwise = f"{topics} would be sealed for ever; look with --dry-run, then run again with --yes"
    confirm(f"Seal {topics} for ever once copied?", otherwise)


def _line(passage: Passage, *, dry_run: bool) -> str:
    if passage.done:
        return f"= {passage.old} -> {passage.new}: copied and sealed already"
    state = f"{passage.offsets:,} offsets" + (f", {passage.copied:,} copied already" if passage.copied else "")
    return f"{'+' if dry_run else '='} {passage.old} -> {passage.new}: {counted(passage.partitions)}, {state}"


def _document(
    register: str, work: Repartition, plan: Sequence[Passage], partitions: int, *, dry_run: bool
) -> dict[str, Any]:
    return {
        "register": register,
        "partitions": partitions,
        "generation": work.generation,
        "dry_run": dry_run,
        "topics": [
            {"from": each.old, "to": each.new, "offsets": each.offsets, "copied_before": each.copied, "done": each.done}
            for each in plan
        ],
    }
