"""An export opened by its format: the one that is declared, or else the one that its name ends in."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bus.errors import FileRefused
from producers.filediff.fixed import FixedReader
from producers.filediff.header import DELIMITERS, QUARANTINE_COLUMNS
from producers.filediff.job import FileJob
from producers.filediff.layout import layout_named
from producers.filediff.lines import UTF8, encoding_named, lines
from producers.filediff.reader import UTF8_BOM, CsvReader, Reader
from producers.filediff.sheet import SheetReader

QUARANTINE_START = QUARANTINE_COLUMNS[0].encode()
START_BYTES = len(UTF8_BOM) + len(QUARANTINE_START) + 1


@contextmanager
def opened(job: FileJob, charset: str = UTF8) -> Iterator[Reader]:
    """The export to be read, closed at the block's end; ``charset`` is what a mapping declares its bytes to be.

    A quarantine file is what we wrote, CSV in UTF-8, whatever the export was; its own header says what is between its
    cells. Raises FileRefused, ConfigInvalid.
    """
    try:
        stream = job.file.open("rb")
    except OSError as error:
        raise FileRefused(f"{job.file}: {error.strerror}; name an export that can be read") from error
    with stream:
        yield _reader(job, stream, job.encoding or charset)


def told_by_file(job: FileJob) -> FileJob:
    """The job with what a quarantine file's header says of its delimiter; any other job as it is."""
    start = _start(job.file)
    after = start.removeprefix(QUARANTINE_START)[:1].decode("ascii", "replace")
    told = start.startswith(QUARANTINE_START) and after in DELIMITERS
    return job.model_copy(update={"delimiter": after}) if told else job


def is_quarantine(file: Path) -> bool:
    """Whether a file begins as those of refused rows do; not so where it cannot be read."""
    return _start(file).startswith(QUARANTINE_START)


def _start(file: Path) -> bytes:
    with suppress(OSError), file.open("rb") as stream:
        return stream.read(START_BYTES).removeprefix(UTF8_BOM)
    return b""


def _reader(job: FileJob, stream: BinaryIO, charset: str) -> Reader:
    name, encoding = job.file.name, encoding_named(charset)
    if is_quarantine(job.file):
        return CsvReader(stream, name, job.delimiter)
    if job.kind == "xlsx":
        return SheetReader(stream, name, job.sheet, job.delimiter)
    text = lines(stream, name, encoding)
    if job.kind == "fixed":
        return FixedReader(text, name, layout_named(job.layout or ""))
    return CsvReader(text, name, job.delimiter)
