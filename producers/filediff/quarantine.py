"""Refused rows as they came, with the reasons in front, in a file that can be corrected and fed in again as it is."""

import csv
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path
from typing import Self

import polars as pl

from bus.disk import writing
from producers.filediff import refusals
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
        self._part = path.with_name(f".{path.name}.part")
        self._delimiter = delimiter
        self._fed_again = tuple(header[:WIDTH]) == QUARANTINE_COLUMNS
        self._header = [name for name in header if name not in QUARANTINE_COLUMNS]
        self._mapping = mapping
        self.rows = 0

    def __enter__(self) -> Self:
        with self._writing():
            self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
            self._file.write(self._line([*QUARANTINE_COLUMNS, *self._header]))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._writing():
            self._file.close()
            if self.rows and kind is None:
                self._part.replace(self.path)
            else:
                self._part.unlink()

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
        with self._writing():
            for line, *told in reasons.iter_rows():
                if line in damaged:
                    begun = self._line([line, *told])[:-1]
                    self._file.write(begun + self._delimiter.encode() + self._raw(damaged[line]))
                else:
                    self._file.write(self._line([line, *told, *rows[line]]))
        self.rows += reasons.height

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self.path, "name another --quarantine file")

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
