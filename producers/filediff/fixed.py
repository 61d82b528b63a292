"""Reads an export whose columns stand at fixed places, in chunks of rows with their line numbers."""

from collections.abc import Iterator
from itertools import islice

import polars as pl

from bus.errors import FileRefused
from producers.filediff.layout import Layout
from producers.filediff.lines import DOS_END, LINE_BYTES, Lines, expected_of, pieces, taken
from producers.filediff.reader import CHUNK_ROWS, EMPTY, HALF, UTF8_BOM, Chunk, Damaged


class FixedReader:
    """One pass over a file. The layout gives the header; every line is a row, an empty one none."""

    def __init__(self, stream: Lines, name: str, layout: Layout, rows: int = CHUNK_ROWS) -> None:
        """Raises FileRefused where the file is empty."""
        self._name = name
        self._layout = layout
        self._rows = rows
        self.ended: bool | None = None
        self.header = [place.name for place in layout.column]
        start = stream.read(len(UTF8_BOM))
        stream.seek(len(UTF8_BOM) if start == UTF8_BOM else 0)
        self._expected = expected_of(stream)
        self._lines = pieces(stream)
        self._line = sum(1 for _ in islice(self._lines, layout.skip))
        if not start.strip():
            raise FileRefused(f"{name}: empty; {EMPTY}")

    def chunks(self) -> Iterator[Chunk]:
        while block := taken(self._lines, self._rows):
            first, self._line = self._line + 1, self._line + len(block)
            if block[-1] == DOS_END:
                del block[-1]
            if block:
                self.ended = block[-1].endswith(b"\n")
                yield self._chunk(block, first)

    def _chunk(self, block: list[bytes], first: int) -> Chunk:
        texts = [_text(line) for line in block]
        lines = pl.int_range(first, first + len(block), eager=True)
        frame = pl.DataFrame({"line": lines, "text": texts}, schema={"line": pl.Int64(), "text": pl.String()})
        length = pl.col("text").str.len_chars()
        longest, shortest = self._layout.length or self._layout.width, self._layout.length or 0
        fits = (length <= longest) & (length >= shortest)
        empty = (pl.col("text").str.strip_chars() == "").fill_null(value=False)
        judged = frame.with_columns(fits.fill_null(value=False).alias("fits")).filter(~empty)
        damaged = [
            self._damaged(block[line - first], line, text)
            for line, text in judged.filter(~pl.col("fits")).select("line", "text").iter_rows()
        ]
        rows = judged.filter(pl.col("fits"))
        self._check_end(block[-1], rows)
        cells = rows.select(
            pl.col("text").str.slice(place.start - 1, place.width).str.strip_chars(" ").alias(place.name)
            for place in self._layout.column
        )
        return Chunk(rows["line"], cells.with_columns(pl.when(pl.all() != "").then(pl.all())), tuple(damaged))

    def _damaged(self, raw: bytes, line: int, text: str | None) -> Damaged:
        if len(raw) >= LINE_BYTES:
            raise FileRefused(f"{self._name}: line {line}: expected lines of at most {LINE_BYTES} bytes")
        if not raw.endswith(b"\n"):
            raise FileRefused(f"{self._name}: line {line}, the last, {HALF}")
        if text is None:
            return Damaged(line, "encoding", self._expected, raw.rstrip(b"\r\n"))
        wanted = self._layout.length or f"at most {self._layout.width}"
        return Damaged(line, "cells", f"{wanted} characters as in the layout, found {len(text)}", raw.rstrip(b"\r\n"))

    def _check_end(self, last: bytes, rows: pl.DataFrame) -> None:
        """A last line without a line end has to reach into the last column: else it may have been cut anywhere."""
        whole = max(place.start for place in self._layout.column)
        if not last.endswith(b"\n") and rows.height and len(rows["text"][-1]) < whole:
            raise FileRefused(f"{self._name}: line {rows['line'][-1]}, the last, {HALF}")


def _text(line: bytes) -> str | None:
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return None
