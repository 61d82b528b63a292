"""Refused rows as they came, with the reasons in front, in a file that can be corrected and fed in again as it is."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Self

import polars as pl

from producers.filediff import refusals
from producers.filediff.beside import Beside
from producers.filediff.header import QUARANTINE_COLUMNS
from producers.filediff.reader import Chunk, Damaged
from producers.mapping import Mapping

WIDTH = len(QUARANTINE_COLUMNS)


class Quarantine:
    """Written beside its place and moved there whole at the end; no file at all where nothing was refused.

    Mode 0600: it holds what the export held.
    """

    def __init__(self, path: Path, header: Sequence[str], delimiter: str, mapping: Mapping | None = None) -> None:
        self.path = path
        self._file = Beside(path, "name another --quarantine file")
        self._delimiter = delimiter
        self._fed_again = tuple(header[:WIDTH]) == QUARANTINE_COLUMNS
        self._header = [name for name in header if name not in QUARANTINE_COLUMNS]
        self._mapping = mapping
        self.rows = 0

    def __enter__(self) -> Self:
        self._file.write([self._line([*QUARANTINE_COLUMNS, *self._header])])
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close(keep=bool(self.rows) and kind is None)

    def add(self, chunk: Chunk, refused: refusals.Refusals) -> None:
        """The chunk's rows that are among the refused."""
        if refused.is_empty():
            return
        reasons = _per_line(self._by_column(refused))
        damaged = {found.line: found for found in chunk.damaged}
        cells = chunk.cells.select(self._header).with_columns(chunk.lines.alias("#line"))
        rows = {
            row[-1]: row[:-1] for row in cells.join(reasons, left_on="#line", right_on="line", how="semi").iter_rows()
        }
        lines = reasons.iter_rows()
        self._file.write(self._told([line, *told], damaged.get(line), rows.get(line, ())) for line, *told in lines)
        self.rows += reasons.height

    def _told(self, why: Sequence[object], damaged: Damaged | None, cells: Sequence[object]) -> bytes:
        if damaged is None:
            return self._line([*why, *cells])
        return self._line(why)[:-1] + self._delimiter.encode() + self._raw(damaged)

    def _by_column(self, refused: refusals.Refusals) -> refusals.Refusals:
        """Under the names of the columns to correct, where a mapping gives the fields others."""
        if self._mapping is None:
            return refused
        fields = refused["field"].unique()
        names = {field: " + ".join(self._mapping.columns_of(field)) or field for field in fields}
        return refused.with_columns(pl.col("field").replace(names))

    def _line(self, cells: Sequence[object]) -> bytes:
        out = StringIO()
        csv.writer(out, delimiter=self._delimiter, lineterminator="\n").writerow(cells)
        return out.getvalue().encode()

    def _raw(self, found: Damaged) -> bytes:
        """The line as it came, less the reasons of an earlier quarantine."""
        raw = found.raw
        if self._fed_again:
            raw = raw.split(self._delimiter.encode(), WIDTH)[-1]
        return raw + b"\n"


def _per_line(refused: refusals.Refusals) -> pl.DataFrame:
    joined = (pl.col(name).str.join("; ") for name in ("field", "reason", "expected"))
    return refused.group_by("line", maintain_order=True).agg(joined).sort("line")
