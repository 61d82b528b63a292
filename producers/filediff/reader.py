"""Reads a CSV file in chunks of rows with their line numbers, and recovers at the next line from one that is damaged.

A block of lines that are one row each is read by Polars; any other row by row with Python's csv module. Both give the
same rows.
"""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from bus.errors import FileRefused
from producers.admission import MAX_EVENT_BYTES
from producers.filediff.lines import DOS_END, EXPECTED, LINE_BYTES, Lines, charset_of, expected_of, pieces, taken

CHUNK_ROWS = 25_000  # twice as many would take 60 MB more and save no time
MOST_COLUMNS = 4_096  # each takes its share of every look at a row
MAX_ROW_LINES = 100  # a quote that is never closed costs this many lines of reading, and one line of data
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
UTF8_BOM = b"\xef\xbb\xbf"

HALF = "is no whole row and has no line end: the file is half-written; wait until the export is complete"
QUOTES = 'cells that hold a delimiter, a quote or a line end in "double quotes", each quote inside them doubled'
TOO_LONG = f"a row of at most {MAX_ROW_LINES} lines and {MAX_EVENT_BYTES} bytes; look for a quote that is not closed"
EMPTY = "expected a header row with the register's field names, then rows"


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line that is no row of this file."""

    line: int
    reason: str
    expected: str
    raw: bytes
    """As it stands in the file, without its line end."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows in the file's order: all cells as text, an empty cell as null."""

    lines: pl.Series
    """Number of each row's first line, from 1."""
    cells: pl.DataFrame
    damaged: tuple[Damaged, ...] = ()

    def __len__(self) -> int:
        return self.cells.height + len(self.damaged)


class Reader(Protocol):
    """One pass over an export in any format."""

    header: list[str]
    ended: bool | None
    """After the pass: whether the last line of a text had a line end; None where there is nothing such."""

    def chunks(self) -> Iterator[Chunk]:
        """All rows, once. Raises FileRefused where the file turns out to be half-written."""


class CsvReader:
    """One pass over a file. Its header and first chunk are read at once, so that what is no export shows early."""

    def __init__(self, stream: Lines, name: str, delimiter: str = ",", rows: int = CHUNK_ROWS) -> None:
        """Raises FileRefused where the file is empty, has no header, or is not in UTF-8."""
        self._stream = stream
        self._name = name
        self._delimiter = delimiter
        self._again: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self._undecodable = False
        self._line = 0
        self._width: int | None = None
        self.ended: bool | None = None
        self.header = self._read_header()
        self._width = len(self.header)
        if self._width > MOST_COLUMNS:
            raise FileRefused(f"{name}: {self._width} columns; expected {EMPTY}")
        self._rows_only = _rows_only(self._width, delimiter)
        self._rows_at_once = rows
        self._first: Chunk | None = self._next_chunk()
        self._check_encoding(self._first)

    def chunks(self) -> Iterator[Chunk]:
        """All rows, once."""
        chunk, self._first = self._first, None
        while chunk is not None:
            if len(chunk):
                yield chunk
            chunk = self._next_chunk()

    def _next_chunk(self) -> Chunk | None:
        """Up to so many rows, none of them where only empty lines were left; None at the end of the file."""
        count = self._rows_at_once
        block = [*self._again, *taken(pieces(self._stream), count - len(self._again))]
        self._again.clear()
        if block and block[-1] == DOS_END:
            del block[-1]
        if not block:
            return None
        self.ended = block[-1].endswith(b"\n")
        chunk = self._whole(block)
        if chunk is None:
            self._again.extend(block)
            chunk = self._by_row(count)
        return chunk

    def _read_header(self) -> list[str]:
        start = self._stream.read(4096)
        if not start.strip():
            raise FileRefused(f"{self._name}: empty; {EMPTY}")
        if start.startswith(UTF16) or b"\x00" in start:
            raise FileRefused(f"{self._name}: looks like UTF-16 or a binary file; expected {EXPECTED}")
        self._stream.seek(len(UTF8_BOM) if start.startswith(UTF8_BOM) else 0)
        found = next(self._rows(), None)
        if found is None:
            raise FileRefused(f"{self._name}: empty; {EMPTY}")
        if isinstance(found, Damaged):
            raise FileRefused(f"{self._name}: line {found.line}: header: {found.reason}; expected {found.expected}")
        return [cell.strip() for cell in found[1]]

    def _whole(self, block: list[bytes]) -> Chunk | None:
        """The block by Polars; None unless every line is certain to be one row of the header's width."""
        raw = b"".join(block).replace(b"\r\n", b"\n")
        if b"\r" in raw or max(map(len, block)) > MAX_EVENT_BYTES:
            return None
        quoted = b'"' in raw
        with suppress(UnicodeDecodeError, pl.exceptions.PolarsError):
            text = raw.decode() if raw.endswith(b"\n") else raw.decode() + "\n"
            if not pl.Series([text]).str.contains(self._rows_only)[0]:
                return None
            cells = pl.read_csv(
                io.BytesIO(raw),
                has_header=False,
                new_columns=self.header,
                separator=self._delimiter,
                quote_char='"' if quoted else None,
                infer_schema=False,
                raise_if_empty=False,
            )
            if cells.shape == (len(block), self._width):
                first, self._line = self._line + 1, self._line + len(block)
                return Chunk(pl.int_range(first, self._line + 1, eager=True), _emptied(cells) if quoted else cells)
        return None

    def _by_row(self, rows: int) -> Chunk:
        lines: list[int] = []
        flat: list[str] = []  # one list of cells, not a list of rows: millions of lists would keep the collector busy
        damaged: list[Damaged] = []
        for found in self._rows():
            if isinstance(found, Damaged):
                damaged.append(found)
            else:
                lines.append(found[0])
                flat.extend(found[1])
            if len(lines) + len(damaged) >= rows:
                break
        columns = {name: flat[place :: self._width] for place, name in enumerate(self.header)}
        cells = pl.DataFrame(columns, schema=dict.fromkeys(self.header, pl.String()))
        return Chunk(pl.Series(lines, dtype=pl.Int64), _emptied(cells), tuple(damaged))

    def _rows(self) -> Iterator[tuple[int, list[str]] | Damaged]:
        """Each row with its first line's number. What is damaged costs one line: the next one is tried afresh."""
        while True:
            reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
            try:
                yield from self._sound(reader)
            except csv.Error:
                yield self._damaged("damaged", QUOTES)
            except _TooLongError:
                yield self._damaged("damaged", TOO_LONG)
            else:
                return

    def _sound(self, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]] | Damaged]:
        for cells in reader:
            if self._undecodable:
                yield self._damaged("encoding", expected_of(self._stream))
            elif not cells:
                self._taken.clear()  # an empty line
            elif self._width in (None, len(cells)):
                line = self._line - len(self._taken) + 1
                self._taken.clear()
                yield line, cells
            else:
                yield self._damaged("cells", f"{self._width} cells as in the header, found {len(cells)}")

    def _damaged(self, reason: str, expected: str) -> Damaged:
        """The first line of what was taken; the lines after it are given back.

        Raises FileRefused where that is the file's last line, cut off.
        """
        first, *rest = self._taken
        if len(first) >= LINE_BYTES:
            raise FileRefused(f"{self._name}: line {self._line}: expected {TOO_LONG}")
        if not first.endswith(b"\n") and self._width is not None:
            raise FileRefused(f"{self._name}: line {self._line}, the last, {HALF}")
        self._taken.clear()
        self._undecodable = False
        self._line -= len(rest)
        self._again.extendleft(reversed(rest))
        return Damaged(self._line, reason, expected, first.rstrip(b"\r\n"))

    def _lines(self) -> Iterator[str]:
        """The file's lines, kept in ``_taken`` until their row is known to be sound."""
        while line := self._again.popleft() if self._again else self._stream.readline(LINE_BYTES):
            if line == DOS_END:
                return
            self.ended = line.endswith(b"\n")
            self._line += 1
            self._taken.append(line)
            if len(self._taken) > MAX_ROW_LINES or sum(map(len, self._taken)) > MAX_EVENT_BYTES:
                raise _TooLongError
            try:
                yield line.decode()
            except UnicodeDecodeError:
                self._undecodable = True
                yield line.decode(errors="replace")

    def _check_encoding(self, chunk: Chunk | None) -> None:
        """More rows of the first chunk that are not in the declared encoding than are: then the file is in another."""
        wrong = [found.line for found in chunk.damaged if found.reason == "encoding"] if chunk else []
        if chunk and len(wrong) > len(chunk) / 2:
            raise FileRefused(
                f"{self._name}: {len(wrong)} of the first {len(chunk)} rows, from line {wrong[0]} on, are not "
                f"{charset_of(self._stream)}; expected {expected_of(self._stream)}"
            )


def _emptied(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.with_columns(pl.when(pl.all() != "").then(pl.all()))


def _rows_only(width: int, delimiter: str) -> str:
    """Text of nothing but rows on a line each, their cells plain or quoted by the rules, as a regular expression."""
    end = re.escape(delimiter)
    some = "*" if width > 1 else "+"  # an empty line is no row of one cell
    cell = rf'(?:[^"\n{end}]{some}|"(?:[^"\n]|"")*")'
    return rf"\A(?:{cell}(?:{end}{cell}){{{width - 1}}}\n)*\z"


class _TooLongError(Exception):
    """A row that does not end."""
