"""``lienthong lookup``: one subject, with the source of every field."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table as Sheet

from bus.catalog import Agency, load_catalog
from bus.cli import console, err, print_json
from bus.cli.options import CatalogOption, JsonOption
from bus.names import AgencyCode
from consumers.lookup import Field, Replica, Subject
from consumers.options import DatabaseOption, InsteadOption, chosen, database_of

app = typer.Typer(add_completion=False)

NOT_FOUND = 1


@app.command()
def lookup(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="resident, business, dossier, or code.")],
    key: Annotated[str, typer.Argument(metavar="ID", help="Personal ID, enterprise code, dossier code, or unit id.")],
    database: DatabaseOption = None,
    config: InsteadOption = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a replica holds of one subject: each field with its source agency, register, version and as-of time.

    Code 0 when there is something, 1 when the replica holds nothing of it.
    """
    with Replica.open(database_of(chosen(context, database, config))) as replica:
        found = replica.get(kind, key)
        if found is None:
            filled = "" if replica.ready() else "; the replica is still filling, so it may come"
            err.print(f"nothing is held of this {kind}{filled}")
            raise typer.Exit(NOT_FOUND)
    if as_json:
        print_json(_document(found))
    else:
        _print(found, load_catalog(catalog).agencies)


def _document(found: Subject) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "id": found.id,
        "merged_from": found.merged_from,
        "fields": [
            {
                "register": field.register,
                "name": field.name,
                "value": field.value,
                "source": field.source,
                "version": field.version,
                "recorded_at": field.recorded_at.isoformat(),
                "as_of": field.as_of and field.as_of.isoformat(),
            }
            for field in found.fields()
        ],
    }


def _print(found: Subject, agencies: Mapping[AgencyCode, Agency]) -> None:
    if found.merged_from is not None:
        console.print(f"the register has merged this id into {found.id}", highlight=False)
    sheet = Sheet("field", "value", "source", "register", "version", "recorded", "as of")
    for field in found.fields():
        if field.value is not None:
            agency = agencies.get(field.source)
            source = f"{field.source} {agency.vi}" if agency else field.source
            sheet.add_row(
                field.name,
                _shown(field),
                source,
                field.register,
                str(field.version),
                _time(field.recorded_at),
                _time(field.as_of),
            )
    console.print(sheet)


def _shown(field: Field) -> str:
    if isinstance(field.value, dict):
        return ", ".join(str(part) for part in field.value.values() if part is not None)
    if isinstance(field.value, list):
        return "; ".join(
            ", ".join(str(part) for part in each.values() if part is not None) if isinstance(each, dict) else str(each)
            for each in field.value
        )
    return str(field.value)


def _time(at: Any) -> str:
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
