"""Which column of an export is which field of the register. Pure."""

from collections.abc import Sequence

from bus.errors import ConfigInvalid, FileRefused
from bus.schema.fields import RegisterSchema
from producers.columns import Column, columns, nearest
from producers.mapping import Mapping

QUARANTINE_COLUMNS = ("_line", "_field", "_reason", "_expected")
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def check_header(file: str, header: Sequence[str], schema: RegisterSchema, delimiter: str, *, partial: bool) -> None:
    """Raise FileRefused, naming file, column and what was expected, unless the header fits the register."""
    _check_partial(file, header, partial=partial)
    known = columns(schema)
    given = [name for name in header if name not in QUARANTINE_COLUMNS]
    if not any(name in known for name in given):
        raise FileRefused(f"{file}: {_no_header(header, known, delimiter)}")
    for place, name in enumerate(given, 1):
        if not name:
            raise FileRefused(f"{file}: column {place} has no name in the header; name it or remove the column")
        if name not in known:
            raise FileRefused(f"{file}: column {name}: {schema.register} has no such field; {nearest(name, known)}")
        if given.count(name) > 1:
            raise FileRefused(f"{file}: column {name} stands twice in the header; keep one of them")
    missing = [column.name for column in known.values() if column.required and column.name not in given]
    if missing:
        raise FileRefused(f"{file}: column {', '.join(missing)} is missing; {schema.register} cannot be without it")


def check_mapped(file: str, header: Sequence[str], mapping: Mapping, delimiter: str, *, partial: bool) -> None:
    """The same for an export whose columns a mapping names. Raises FileRefused."""
    _check_partial(file, header, partial=partial)
    given = [name for name in header if name not in QUARANTINE_COLUMNS]
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise FileRefused(f"{file}: column {twice or 'without a name'} stands twice in the header; keep one of them")
    other = next((word for sign, word in DELIMITERS.items() if sign != delimiter and sign in header[0]), None)
    if len(header) == 1 and other:
        raise FileRefused(f"{file}: {_separated(other, delimiter)}")
    if not mapping.knows(given):  # a person's first row, which nobody is to read in an error
        expected = ", ".join(dict.fromkeys(name for target in mapping.targets for name in target.columns))
        raise FileRefused(
            f"{file}: no header: the first row holds none of the mapping's columns; expected some of {expected}"
        )
    try:
        mapping.check(given, file)
    except ConfigInvalid as error:  # of two that do not fit, the file is the one that is new
        raise FileRefused(str(error)) from error


def _no_header(header: Sequence[str], known: dict[str, Column], delimiter: str) -> str:
    if len(header) == 1:
        for other, word in DELIMITERS.items():
            if other != delimiter and any(part.strip() in known for part in header[0].split(other)):
                return _separated(word, delimiter)
    return f"no header: the first row holds none of the register's field names; expected some of {', '.join(known)}"


def _separated(word: str, delimiter: str) -> str:
    return f"cells are separated by {word}, not by {DELIMITERS.get(delimiter, delimiter)}; pass --delimiter"


def _check_partial(file: str, header: Sequence[str], *, partial: bool) -> None:
    if not partial and QUARANTINE_COLUMNS[0] in header:
        raise FileRefused(f"{file}: a quarantine file holds some subjects only; feed it in with --partial")
