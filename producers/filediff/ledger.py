"""What cleaning changed and doubted in one run: the values in files beside the report, numbers for everyone else."""

from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Self

import polars as pl

from producers.filediff.beside import Beside
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
        self._file = Beside(path, "choose another --state")

    def add(self, rows: pl.DataFrame) -> None:
        """Raises PathUnwritable, DiskFull."""
        if rows.is_empty():
            return
        out = BytesIO()
        rows.write_ndjson(out)
        self._file.write([out.getbuffer()])

    def close(self, *, keep: bool) -> None:
        self._file.close(keep=keep)
