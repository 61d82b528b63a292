"""Which column of an export is which field of the register. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from bus.errors import FileRefused
from bus.schema.fields import Field, Record, RegisterSchema

QUARANTINE_COLUMNS = ("_line", "_field", "_reason", "_expected")
PRECISION = "_precision"
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column that an export of the register may have: a scalar field with dots, or a list as JSON."""

    name: str
    field: Field
    required: bool


def columns(schema: RegisterSchema) -> dict[str, Column]:
    """All of them, in the register's order."""
    return {column.name: column for column in _columns(schema.state, "", required=True)}


def check_header(file: str, header: Sequence[str], schema: RegisterSchema, delimiter: str, *, partial: bool) -> None:
    """Raise FileRefused, naming file, column and what was expected, unless the header fits the register."""
    if not partial and QUARANTINE_COLUMNS[0] in header:
        raise FileRefused(f"{file}: a quarantine file holds some subjects only; feed it in with --partial")
    known = columns(schema)
    given = [name for name in header if name not in QUARANTINE_COLUMNS]
    if not any(name in known for name in given):
        raise FileRefused(f"{file}: {_no_header(header, known, delimiter)}")
    for place, name in enumerate(given, 1):
        if not name:
            raise FileRefused(f"{file}: column {place} has no name in the header; name it or remove the column")
        if name not in known:
            raise FileRefused(f"{file}: column {name}: {schema.register} has no such field; {_nearest(name, known)}")
        if given.count(name) > 1:
            raise FileRefused(f"{file}: column {name} stands twice in the header; keep one of them")
    missing = [column.name for column in known.values() if column.required and column.name not in given]
    if missing:
        raise FileRefused(f"{file}: column {', '.join(missing)} is missing; {schema.register} cannot be without it")


def derived_from(field: Field, record: Record) -> Field | None:
    """The field whose form says what this one has to say: ``birth_date`` for ``birth_date_precision``."""
    source = field.name.removesuffix(PRECISION)
    found = next((each for each in record.fields if each.name == source and field.name != source), None)
    return found if found is not None and is_partial_date(found) else None


def is_partial_date(field: Field) -> bool:
    return any(rule.name == "partial_date" for rule in field.rules)


def _columns(record: Record, at: str, *, required: bool) -> Iterator[Column]:
    for field in record.fields:
        needed = required and not field.nullable and not field.has_default
        if field.record:
            yield from _columns(field.record, f"{at}{field.name}.", required=needed)
        else:
            yield Column(at + field.name, field, needed and derived_from(field, record) is None)


def _no_header(header: Sequence[str], known: dict[str, Column], delimiter: str) -> str:
    if len(header) == 1:
        for other, word in DELIMITERS.items():
            if other != delimiter and any(part.strip() in known for part in header[0].split(other)):
                return f"cells are separated by {word}, not by {DELIMITERS.get(delimiter, delimiter)}; pass --delimiter"
    return f"no header: the first row holds none of the register's field names; expected some of {', '.join(known)}"


def _nearest(name: str, known: dict[str, Column]) -> str:
    near = get_close_matches(name.lower(), known, n=1)
    return f"the nearest is {near[0]}" if near else f"expected columns are {', '.join(known)}"
