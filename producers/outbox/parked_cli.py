"""``lienthong outbox parked``: the rows that the relay could not encode, listed without values, and taken again."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from bus.cli import console, err, print_json
from bus.cli.options import JsonOption
from bus.errors import ConfigInvalid
from producers.outbox.database import engine_at
from producers.outbox.options import UrlOption
from producers.outbox.parked import Selection, counted, listed, read_ids, retry

app = typer.Typer(no_args_is_help=True, help="The rows that the relay could not encode: list, retry.")

NOT_ALL = 1

IdOption = Annotated[list[str] | None, typer.Option("--id", help="Only this one, as listed; may be given again.")]
RegisterOption = Annotated[str | None, typer.Option("--register", help="Only of this register.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only where the reason has this in it: 'sex: '.")]


@app.command("list")
def list_command(
    url: UrlOption,
    register: RegisterOption = None,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows shown, at most; all are counted.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Count parked rows by register and reason, and show the oldest. No key and no value is shown."""
    chosen = Selection((), register, reason)
    with engine_at(url) as engine:
        counts, rows = counted(engine, chosen), listed(engine, chosen, limit)
    if as_json:
        told = [{"aggregatetype": kind, "reason": why, "rows": count} for kind, why, count in counts]
        shown = [asdict(each) | {"created_at": each.created_at and each.created_at.isoformat()} for each in rows]
        print_json({"counts": told, "rows": shown})
        return
    if not counts:
        console.print("nothing is parked")
        return
    summary = Table("register", "rows", "reason")
    for kind, why, count in counts:
        summary.add_row(kind, f"{count:,}", why)
    sheet = Table("id", "register", "type", "created", "superseded")
    for each in rows:
        created = f"{each.created_at:%Y-%m-%d %H:%M:%S}" if each.created_at else ""
        sheet.add_row(each.id, each.aggregatetype, each.type, created, "yes" if each.superseded else "no")
    console.print(summary)
    console.print(sheet)
    err.print(f"{len(rows):,} shown of {sum(count for _, _, count in counts):,} parked", highlight=False)


@app.command("retry")
def retry_command(
    url: UrlOption,
    ids: IdOption = None,
    register: RegisterOption = None,
    reason: ReasonOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every parked row; needed when nothing narrows it down.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the relay take rows again, once their cause is mended: a code list, a schema, a mapping.

    Versions decide: a row behind which a newer one of its key stands is settled and never sent. Code 0 when none of
    those asked for is parked any more, until the relay finds its cause unmended; 1 when some are, or an id is not
    parked.
    """
    chosen = Selection(read_ids(ids or ()), register, reason)
    if not everything and not chosen.narrow:
        raise ConfigInvalid("which rows? name --id, --register or --reason, or say --all")
    with engine_at(url) as engine:
        told = retry(engine, chosen)
    counts = {fate: told[fate] for fate in ("taken", "superseded", "left")}
    if as_json:
        print_json(counts)
    else:
        words = f"{told['taken']:,} to be taken again, {told['superseded']:,} superseded, {told['left']:,} left parked"
        console.print(words, highlight=False)
    if told["left"] or told.total() < len(set(chosen.ids)):
        raise typer.Exit(NOT_ALL)
