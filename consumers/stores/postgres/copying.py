"""Frames as the text that PostgreSQL's COPY reads.

Measured into a table without indexes, on two busy cores, rows a second: text 320,000; CSV 285,000, up to 355,000 with
dates written without dashes; binary by pgpq 410,000, by ADBC 390,000. Those two were not tried on every type:
they bring 170 MB of pyarrow, and ADBC a connection of its own, outside our transaction.
"""

from collections.abc import Iterator
from io import BytesIO

import polars as pl
import polars.selectors as cs
import psycopg

from bus.errors import RowsRefused

DATE_FORMAT = "%Y%m%d"
TIME_FORMAT = "%Y%m%d %H%M%S%.6f+00"
NULL = "\\N"
SLICE_ROWS = 8_000  # made into text while the server reads the slice before: a fifth to a half over all at once
CHUNK_BYTES = 64 * 1024

_SPECIAL = ["\\", "\n", "\r", "\t"]
_ESCAPED = ["\\\\", "\\n", "\\r", "\\t"]


def copy_in(connection: psycopg.Connection, statement: str, frame: pl.DataFrame) -> None:
    """COPY a frame's rows, columns in the order that the statement names."""
    if frame.is_empty():
        return
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for part in frame.iter_slices(SLICE_ROWS):
            text = copy_text(part)
            if b"\0" in text:
                raise RowsRefused("a row of this batch cannot be stored: a text holds a NUL character")
            for chunk in _chunks(text):
                copy.write(chunk)


def _chunks(text: bytes) -> Iterator[memoryview]:
    view = memoryview(text)
    for start in range(0, len(text), CHUNK_BYTES):
        yield view[start : start + CHUNK_BYTES]


def copy_text(frame: pl.DataFrame) -> bytes:
    """COPY's text format: a tab between fields, NULL's own word, four characters escaped."""
    plain = _texts(frame)
    text = _written(plain)
    return text if _is_unambiguous(text, plain) else _written(_escaped(plain))


def text_columns(frame: pl.DataFrame) -> list[list[str | None]]:
    """Each column as a list of the same texts, unescaped, for a statement that casts them."""
    return [series.to_list() for series in _texts(frame, cs.numeric() | cs.boolean()).get_columns()]


def _texts(frame: pl.DataFrame, also: cs.Selector | None = None) -> pl.DataFrame:
    """What is written otherwise than a CSV would have it, as text; ``also`` what else is wanted so."""
    return frame.with_columns(
        pl.col(pl.Date).dt.to_string(DATE_FORMAT),
        pl.col(pl.Datetime).dt.to_string(TIME_FORMAT),
        *(
            pl.format("\\x{}", pl.col(name).bin.encode("hex")).alias(name)
            for name, dtype in frame.schema.items()
            if dtype == pl.Binary
        ),
        *([] if also is None else [also.cast(pl.String)]),
    )


def _written(frame: pl.DataFrame) -> bytes:
    out = BytesIO()
    frame.write_csv(out, include_header=False, separator="\t", quote_style="never", null_value=NULL)
    return out.getvalue()


def _is_unambiguous(text: bytes, frame: pl.DataFrame) -> bool:
    """Whether no value holds a special character: there are just as many as the format itself has put there.

    A pass over the bytes costs a third of looking into every value.
    """
    nulls = sum(series.null_count() for series in frame.get_columns())
    return len(text) - len(text.translate(None, b"\t\n\r\\")) == frame.height * frame.width + nulls


def _escaped(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        series.str.replace_many(_SPECIAL, _ESCAPED)
        for series in frame.get_columns()
        if series.dtype == pl.String and series.str.contains_any(_SPECIAL).any()
    )
