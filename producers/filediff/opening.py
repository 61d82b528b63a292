"""An export opened by its format: the one that is declared, or else the one that its name ends in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from bus.errors import FileRefused
from producers.filediff.fixed import FixedReader
from producers.filediff.header import QUARANTINE_COLUMNS
from producers.filediff.job import FileJob
from producers.filediff.layout import layout_named
from producers.filediff.lines import UTF8, encoding_named, lines
from producers.filediff.reader import UTF8_BOM, CsvReader, Reader
from producers.filediff.sheet import SheetReader


@contextmanager
def opened(job: FileJob, charset: str = UTF8) -> Iterator[Reader]:
    """The export to be read, closed at the block's end; ``charset`` is what a mapping declares its bytes to be.

    A quarantine file is what we wrote, CSV in UTF-8, whatever the export was. Raises FileRefused, ConfigInvalid.
    """
    try:
        with job.file.open("rb") as stream:
            yield _reader(job, stream, job.encoding or charset)
    except PermissionError as error:
        raise FileRefused(f"{job.file}: {error.strerror}; name an export that can be read") from error


def _reader(job: FileJob, stream: BinaryIO, charset: str) -> Reader:
    name, encoding = job.file.name, encoding_named(charset)
    start = stream.read(len(UTF8_BOM) + len(QUARANTINE_COLUMNS[0])).removeprefix(UTF8_BOM)
    stream.seek(0)
    if start.startswith(QUARANTINE_COLUMNS[0].encode()):
        return CsvReader(stream, name, job.delimiter)
    if job.kind == "xlsx":
        return SheetReader(stream, name, job.sheet, job.delimiter)
    text = lines(stream, name, encoding)
    if job.kind == "fixed":
        return FixedReader(text, name, layout_named(job.layout or ""))
    return CsvReader(text, name, job.delimiter)
