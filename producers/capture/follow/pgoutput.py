"""The messages of PostgreSQL's plugin ``pgoutput``, protocol version 1, read from bytes. Pure.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Literal

from bus.errors import InputRefused

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MAX_COLUMNS = 1_664
"""PostgreSQL's own limit of a row."""


class Unchanged(Enum):
    """A long value that an update left as it was, and that the log therefore leaves out."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED
Cell = str | None | Unchanged
Cells = tuple[Cell, ...]


class MessageInvalid(InputRefused):
    """Bytes that are no message of the protocol that was asked for."""


@dataclass(frozen=True, slots=True)
class Begin:
    final_lsn: int
    committed_at: datetime
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    lsn: int
    end_lsn: int
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Relation:
    """Sent before a table's first row, and again after the table has changed."""

    id: int
    schema: str
    name: str
    identity: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A row before and after, as text; ``old`` is None where the log does not have it, ``whole`` where it has all."""

    kind: Literal["insert", "update", "delete"]
    relation: int
    old: Cells | None
    whole: bool
    new: Cells | None


@dataclass(frozen=True, slots=True)
class Truncate:
    relations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """What concerns no row: an origin, a type, a message of an application's."""

    letter: str


Message = Begin | Commit | Relation | Change | Truncate | Other


def read_message(raw: bytes) -> Message:
    """Raises MessageInvalid for anything that is not exactly one message."""
    reader = _Reader(raw)
    letter = reader.letter()
    try:
        message = _READERS[letter](reader) if letter in _READERS else _other(reader, letter)
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise MessageInvalid(f"pgoutput: a message {letter!r} that cannot be read") from error
    if reader.left:
        raise MessageInvalid(f"pgoutput: a message {letter!r} that is too long")
    return message


def moment(microseconds: int) -> datetime:
    """PostgreSQL counts from 2000."""
    return EPOCH + timedelta(microseconds=microseconds)


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = memoryview(raw), 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f">{form}", self._raw, self._at)
        self._at += struct.calcsize(f">{form}")
        return int(value)

    def letter(self) -> str:
        return self.take(1).decode("latin-1")

    def take(self, length: int) -> bytes:
        if not 0 <= length <= self.left:
            raise MessageInvalid("pgoutput: a message that ends too early")
        found = bytes(self._raw[self._at : self._at + length])
        self._at += length
        return found

    def text(self) -> str:
        """Up to a zero byte."""
        rest = bytes(self._raw[self._at :])
        end = rest.find(b"\x00")
        if end < 0:
            raise MessageInvalid("pgoutput: a text without an end")
        self._at += end + 1
        return rest[:end].decode()

    def count(self, form: str) -> int:
        number = self.number(form)
        if not 0 <= number <= MAX_COLUMNS:
            raise MessageInvalid("pgoutput: more columns than a table can have")
        return number

    def cells(self) -> Cells:
        return tuple(self._cell() for _ in range(self.count("h")))

    def _cell(self) -> Cell:
        match self.letter():
            case "n":
                return None
            case "u":
                return UNCHANGED
            case "t":
                return self.take(self.number("i")).decode()
            case other:
                raise MessageInvalid(f"pgoutput: a value of the kind {other!r}; text was asked for")


def _begin(reader: _Reader) -> Begin:
    return Begin(reader.number("Q"), moment(reader.number("q")), reader.number("I"))


def _commit(reader: _Reader) -> Commit:
    reader.number("b")
    return Commit(reader.number("Q"), reader.number("Q"), moment(reader.number("q")))


def _relation(reader: _Reader) -> Relation:
    number, schema, name, identity = reader.number("I"), reader.text(), reader.text(), reader.letter()
    columns = []
    for _ in range(reader.count("h")):
        reader.number("b")
        columns.append(reader.text())
        reader.take(8)
    return Relation(number, schema or "pg_catalog", name, identity, tuple(columns))


def _insert(reader: _Reader) -> Change:
    relation = reader.number("I")
    _expect(reader, "N")
    return Change("insert", relation, None, False, reader.cells())


def _update(reader: _Reader) -> Change:
    relation, part = reader.number("I"), reader.letter()
    old = None
    whole = part == "O"
    if part in ("K", "O"):
        old, part = reader.cells(), reader.letter()
    if part != "N":
        raise MessageInvalid("pgoutput: an update without a new row")
    return Change("update", relation, old, whole, reader.cells())


def _delete(reader: _Reader) -> Change:
    relation, part = reader.number("I"), reader.letter()
    if part not in ("K", "O"):
        raise MessageInvalid("pgoutput: a delete without an old row")
    return Change("delete", relation, reader.cells(), part == "O", None)


def _truncate(reader: _Reader) -> Truncate:
    count = reader.number("i")
    reader.number("b")
    if count * 4 != reader.left:
        raise MessageInvalid("pgoutput: a truncate of other tables than it counts")
    return Truncate(tuple(reader.number("I") for _ in range(count)))


def _other(reader: _Reader, letter: str) -> Other:
    if letter not in "OYM" or not letter:
        raise MessageInvalid(f"pgoutput: no message starts with {letter!r}")
    reader.take(reader.left)
    return Other(letter)


def _expect(reader: _Reader, letter: str) -> None:
    if reader.letter() != letter:
        raise MessageInvalid(f"pgoutput: expected {letter!r}")


_READERS: Mapping[str, Callable[[_Reader], Message]] = {
    "B": _begin,
    "C": _commit,
    "R": _relation,
    "I": _insert,
    "U": _update,
    "D": _delete,
    "T": _truncate,
}
