"""Reads a sheet of an Excel workbook (XLSX) in chunks of rows with their numbers, a row at a time in bounded memory.

Numbers and dates become text as a register's fields are written; what a formula gave last is its value.
"""

import csv
import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import Any, BinaryIO

import polars as pl

from bus.errors import BusError, ConfigInvalid, FileRefused
from producers.filediff.archive import MOST_ROWS, check_archive
from producers.filediff.reader import CHUNK_ROWS, EMPTY, Chunk, Damaged

try:
    import openpyxl
    from openpyxl.cell.cell import ERROR_CODES
except ModuleNotFoundError:  # the extra `xlsx` is not installed
    openpyxl = None

OLD = b"\xd0\xcf\x11\xe0"
"""First bytes of Excel's format of before 2007, and of a workbook under a password."""
MIDNIGHT = time()


class SheetReader:
    """One pass over one sheet."""

    ended: bool | None = None

    def __init__(self, stream: BinaryIO, name: str, sheet: str | None, delimiter: str, rows: int = CHUNK_ROWS) -> None:
        """Raises FileRefused where the workbook is cut, protected, or has several sheets of which none is named."""
        self._name = name
        self._delimiter = delimiter
        self._rows_at_once = rows
        self._rows = enumerate(_opened(stream, name, sheet), 1)
        header = next((row for _, row in self._rows if any(cell is not None for cell in row)), None)
        if header is None:
            raise FileRefused(f"{name}: empty; {EMPTY}")
        self.header = [_text(cell, timed=False).strip() for cell in _trimmed(header)]

    def chunks(self) -> Iterator[Chunk]:
        """Raises FileRefused where the sheet turns out to be damaged."""
        while block := self._block():
            yield self._chunk([(line, row) for line, row in block if row])

    def _block(self) -> list[tuple[int, Sequence[Any]]]:
        return [(line, _trimmed(row)) for line, row in islice(self._rows, self._rows_at_once)]

    def _chunk(self, block: Sequence[tuple[int, Sequence[Any]]]) -> Chunk:
        wrong = {line: why for line, row in block if (why := self._wrong(row))}
        sound = [(line, row) for line, row in block if line not in wrong]
        columns = {
            name: _column([row[place] if place < len(row) else None for _, row in sound])
            for place, name in enumerate(self.header)
        }
        damaged = (Damaged(line, "cells", wrong[line], self._raw(row)) for line, row in block if line in wrong)
        cells = pl.DataFrame(columns, schema=dict.fromkeys(self.header, pl.String()))
        return Chunk(pl.Series([line for line, _ in sound], dtype=pl.Int64), cells, tuple(damaged))

    def _wrong(self, row: Sequence[Any]) -> str | None:
        if len(row) > len(self.header):
            return f"{len(self.header)} cells as in the header, found {len(row)}"
        if any(isinstance(cell, str) and cell in ERROR_CODES for cell in row):
            return "values; a formula gave an error"
        return None

    def _raw(self, row: Sequence[Any]) -> bytes:
        out = io.StringIO()
        csv.writer(out, delimiter=self._delimiter, lineterminator="").writerow(_column(row))
        return out.getvalue().encode()


def _opened(stream: BinaryIO, name: str, sheet: str | None) -> Iterator[Sequence[Any]]:
    """The rows of the sheet that is meant, as values, empty rows too."""
    if openpyxl is None:
        raise ConfigInvalid("workbooks are read with the extra xlsx: pip install 'lienthong[xlsx]'")
    start = stream.read(len(OLD))
    stream.seek(0)
    if start == OLD:
        raise FileRefused(
            f"{name}: an Excel file of before 2007, or one under a password; save it as .xlsx without one"
        )
    try:
        check_archive(stream, name)
        with warnings.catch_warnings(action="ignore"):  # about styles and printing, which are no matter here
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        for each in book.worksheets:
            each.reset_dimensions()  # some programs write the largest there can be, and each row would be as long
        yield from _rows(_chosen(book, name, sheet), name)
    except BusError:
        raise
    except Exception as error:  # what missing or wrong bytes provoke: KeyError, SyntaxError, zlib.error, TypeError, …
        raise FileRefused(f"{name}: no whole XLSX workbook: half-written, or of another kind; save it again") from error


def _rows(sheet: Any, name: str) -> Iterator[Sequence[Any]]:
    """A row's number may leave out any number of rows before it, which come as empty ones."""
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        if number > MOST_ROWS:
            raise FileRefused(f"{name}: a row beyond {MOST_ROWS}, the last that a sheet has; save it again")
        yield row


def _chosen(book: Any, name: str, sheet: str | None) -> Any:
    full = [each for each in book.worksheets if next(each.iter_rows(values_only=True), ())]
    if sheet is not None:
        found = [each for each in book.worksheets if each.title == sheet]
        if not found:
            titles = ", ".join(each.title for each in book.worksheets)
            raise FileRefused(f"{name}: no sheet {sheet}; there are {titles}")
        return found[0]
    if len(full) > 1:
        titles = ", ".join(each.title for each in full)
        raise FileRefused(f"{name}: several sheets hold something ({titles}); name one with --sheet")
    return full[0] if full else book.worksheets[0]


def _trimmed(row: Sequence[Any]) -> Sequence[Any]:
    """Without the empty cells at its end."""
    length = next((place for place in range(len(row), 0, -1) if row[place - 1] not in (None, "")), 0)
    return row[:length]


def _column(cells: Iterable[Any]) -> list[str | None]:
    """Where any cell of a column has a time of day, midnight is one too."""
    values = list(cells)
    timed = any(isinstance(value, datetime) and value.time() != MIDNIGHT for value in values)
    return [None if value is None or value == "" else _text(value, timed=timed) for value in values]


def _text(value: Any, *, timed: bool) -> str:
    """A cell as an export in text would have it; points in time as the national portal writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return f"{value:%Y%m%d%H%M%S}" if timed else value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
