"""Changed rows between the first look at an export and the sending, on disk, so that memory stays bounded.

The file has no name, so that nothing of it outlives the process, however that ends.
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Self

import polars as pl

from bus.disk import writing


class Spool:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sizes: list[int] = []

    def __enter__(self) -> Self:
        with self._writing():
            self._file = tempfile.TemporaryFile(dir=self._directory)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, frame: pl.DataFrame) -> None:
        if frame.height:
            packed = BytesIO()
            frame.write_ipc(packed, compression="lz4")
            with self._writing():
                self._sizes.append(self._file.write(packed.getbuffer()))

    def frames(self) -> Iterator[pl.DataFrame]:
        """What was added, in order, one at a time."""
        with self._writing():
            self._file.seek(0)
        for size in self._sizes:
            yield pl.read_ipc(BytesIO(self._file.read(size)))

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._directory, "choose another --state")
