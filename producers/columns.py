"""A register's fields as the flat columns of a text frame: scalar fields with dots, lists as JSON. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from bus.schema.fields import Field, Record, RegisterSchema

PRECISION = "_precision"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    field: Field
    required: bool


def columns(schema: RegisterSchema) -> dict[str, Column]:
    """All columns that a frame of the register may have, in its order."""
    return {column.name: column for column in _columns(schema.state, "", required=True)}


def derived_from(field: Field, record: Record) -> Field | None:
    """The field whose form says what this one has to say: ``birth_date`` for ``birth_date_precision``."""
    source = field.name.removesuffix(PRECISION)
    found = next((each for each in record.fields if each.name == source and field.name != source), None)
    return found if found is not None and is_partial_date(found) else None


def is_partial_date(field: Field) -> bool:
    return any(rule.name == "partial_date" for rule in field.rules)


def nearest(name: str, known: dict[str, Column] | list[str]) -> str:
    """What may have been meant by a name that is none of the known ones."""
    near = get_close_matches(name.lower(), {each.lower(): each for each in known}, n=1)
    if not near:
        return f"expected is one of {', '.join(known)}"
    return f"the nearest is {next(each for each in known if each.lower() == near[0])}"


def _columns(record: Record, at: str, *, required: bool) -> Iterator[Column]:
    for field in record.fields:
        needed = required and not field.nullable and not field.has_default
        if field.record:
            yield from _columns(field.record, f"{at}{field.name}.", required=needed)
        else:
            yield Column(at + field.name, field, needed and derived_from(field, record) is None)
