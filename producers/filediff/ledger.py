"""What cleaning changed and doubted in one run: the values in files beside the report, numbers for everyone else."""

import os
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

import polars as pl

from bus.disk import writing
from producers.mapping import Cleaned, counts


class Ledger:
    """Two files of JSON lines: ``changes`` (line, field, from, to, rule), ``reviews`` (line, field, value, reason, …).

    Written beside their places and moved there whole at the end; none where there is nothing to write. Mode 0600: they
    hold what the export held. Rows that are word for word as in the run before are not cleaned again, and not here.
    """

    def __init__(self, changes: Path, reviews: Path) -> None:
        self.changed: Counter[str] = Counter()
        """Values by rule."""
        self.doubted: Counter[str] = Counter()
        """Values by reason."""
        self._changes, self._reviews = _Lines(changes), _Lines(reviews)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for lines in (self._changes, self._reviews):
            lines.close(keep=kind is None)

    def add(self, cleaned: Cleaned) -> None:
        self.changed += counts(cleaned.changes, "rule")
        self.doubted += counts(cleaned.reviews, "reason")
        self._changes.add(cleaned.changes.rename({"row": "line"}))
        self._reviews.add(cleaned.reviews.rename({"row": "line"}))

    @property
    def changes(self) -> str | None:
        return str(self._changes.path) if self.changed else None

    @property
    def reviews(self) -> str | None:
        return str(self._reviews.path) if self.doubted else None


class _Lines:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._file: BinaryIO | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Raises PathUnwritable, DiskFull."""
        if rows.is_empty():
            return
        out = BytesIO()
        rows.write_ndjson(out)
        with writing(self.path, "choose another --state"):
            if self._file is None:
                self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
            self._file.write(out.getbuffer())

    def close(self, *, keep: bool) -> None:
        if self._file is None:
            return
        with writing(self.path, "choose another --state"):
            self._file.close()
            if keep:
                self._part.replace(self.path)
            else:
                self._part.unlink()
