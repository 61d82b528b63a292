"""A file that is written beside its place and moved there whole, so that nobody ever reads half of it."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from bus.disk import writing


class Beside:
    """Mode 0600: it holds what an export held. Each method raises PathUnwritable, with the remedy, and DiskFull."""

    def __init__(self, path: Path, remedy: str) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._remedy = remedy
        self._file: BinaryIO | None = None

    def write(self, parts: Iterable[bytes | memoryview]) -> None:
        """Made with the first."""
        with self._writing():
            if self._file is None:
                self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
            self._file.writelines(parts)

    def close(self, *, keep: bool) -> None:
        """Move it to its place, or drop it; nothing where nothing was written."""
        if self._file is None:
            return
        with self._writing():
            try:
                self._file.close()
                if keep:
                    self._part.replace(self.path)
            finally:
                self._part.unlink(missing_ok=True)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self.path, self._remedy)
