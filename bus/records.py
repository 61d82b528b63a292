"""Kafka's records as columns, without an object for each.

A record of Kafka's message format v2 is ``length, attributes, timestamp delta, offset delta, key, value, headers``, its
numbers and lengths in the same zigzag coding that Avro has for ``long`` and ``bytes``. So the records of a batch are
read as rows of an Avro file: 0.5 µs a record where an object each takes 3.4 µs. Avro knows no null in that coding and
headers have no end mark: where a key or a value is missing (tombstones), or where headers differ in size, the lengths
do not add up, and those records are walked through one by one.

Source: Kafka protocol guide, "Record Batch"; Avro 1.12, "Binary Encoding".
"""

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import polars as pl
from polars.exceptions import PanicException

from bus import varint
from bus.avro_file import file_header, one_block
from bus.errors import RecordsUnreadable
from bus.names import TopicName
from bus.unreadable import stand_in

COLUMNS = {
    "topic": pl.String(),
    "partition": pl.Int32(),
    "offset": pl.Int64(),
    "timestamp": pl.Int64(),
    "key": pl.Binary(),
    "value": pl.Binary(),
    "headers": pl.Binary(),
}
"""Of ``Records.frame``; ``timestamp`` in ms, ``headers`` as Kafka encodes them."""

FEW = 64  # up to so many are walked through: a native read takes 0.2 ms to set up, a step 3 µs
LEAST_BYTES = 7  # of a record: six numbers and its attributes
_LONG = range(-(2**63), 2**63)
ALONE = 500  # runs of so many records are read again one by one when all together are irregular


@dataclass(frozen=True, slots=True)
class Record:
    """One record; ``timestamp`` in ms."""

    topic: TopicName
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Run:
    """What one record batch holds, uncompressed: records of one partition, one behind the other."""

    topic: str
    partition: int
    base_offset: int
    base_timestamp: int
    """ms; a record says how much later it is."""
    appended: int | None
    """ms; the broker's time, where the topic keeps that one instead."""
    count: int
    data: bytes
    since: int
    """Records before this offset were not asked for: a batch comes whole."""


class Records:
    """Records in order of arrival, as columns; one by one only where somebody asks."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Self:
        """Of a run whose bytes are no records, one that stands for it (``bus.unreadable``)."""
        if not runs:
            return cls(pl.DataFrame(schema=COLUMNS))
        try:
            frame = _read(runs) if sum(run.count for run in runs) > FEW else _walked(runs)
        except (ValueError, IndexError):
            frame = _walked(map(_walkable, runs))
        if any(run.since > run.base_offset for run in runs):
            frame = frame.filter(pl.col("offset") >= pl.col("since"))
        return cls(frame.drop("since"))

    def __len__(self) -> int:
        return self.frame.height

    def __getitem__(self, place: int) -> Record:
        return _record(self.frame.row(place))

    def __iter__(self) -> Iterator[Record]:
        return map(_record, self.frame.iter_rows())


def _record(row: tuple[Any, ...]) -> Record:
    topic, partition, offset, timestamp, key, value, headers = row
    return Record(topic, partition, offset, timestamp, key, value, _headers_or_none(headers))


def _headers_or_none(data: bytes) -> tuple[tuple[str, bytes | None], ...]:
    """Without headers, an event is read all the same and a tombstone is refused."""
    try:
        return read_headers(data)
    except RecordsUnreadable:
        return ()


def read_headers(data: bytes) -> tuple[tuple[str, bytes | None], ...]:
    """Names that are not UTF-8 have their bytes escaped. Raises RecordsUnreadable for bytes that no producer writes."""
    found = []
    try:
        count, at = varint.read(data, 0)
        for _ in range(count):
            name, at = _bytes(data, at)
            value, at = _bytes(data, at)
            found.append(((name or b"").decode(errors="backslashreplace"), value))
    except (ValueError, IndexError) as error:
        raise RecordsUnreadable("headers of a record are not in Kafka's format") from error
    return tuple(found)


def _read(runs: Sequence[Run]) -> pl.DataFrame:
    """Natively, all at once if all are regular, else run by run if these are large."""
    found = _natively(runs)
    if found is not None:
        return found
    if len(runs) > 1 and sum(run.count for run in runs) > ALONE * len(runs):
        return pl.concat([_read([run]) for run in runs])
    return _walked(runs)


def _natively(runs: Sequence[Run]) -> pl.DataFrame | None:
    """None where the lengths of the rows do not add up: then these are not the records."""
    count = sum(run.count for run in runs)
    size = _headers_size(runs[0])
    file = one_block(_header(size), count, [run.data for run in runs])
    try:
        raw = pl.read_avro(io.BytesIO(file), columns=["length", "timestamp", "offset", "key", "value", "headers"])
        sound = raw.height == count and raw.select(_adds_up(size)).item()
    except (Exception, PanicException):  # noqa: BLE001 - what the native reader makes of a null's length of -1
        return None
    if not sound or raw.get_column("length").sum() + _lengths_size(raw) != sum(len(run.data) for run in runs):
        return None
    return pl.concat([raw.drop("length"), _spread(runs)], how="horizontal").select(
        "topic",
        "partition",
        pl.col("offset") + pl.col("base_offset"),
        pl.coalesce("appended", pl.col("timestamp") + pl.col("base_timestamp")).alias("timestamp"),
        "key",
        "value",
        "headers",
        "since",
    )


def _spread(runs: Sequence[Run]) -> pl.DataFrame:
    """What holds for all records of a run, once a record."""
    of_run = {
        "topic": pl.Series([run.topic for run in runs], dtype=pl.String),
        "partition": pl.Series([run.partition for run in runs], dtype=pl.Int32),
        "base_offset": pl.Series([run.base_offset for run in runs], dtype=pl.Int64),
        "base_timestamp": pl.Series([run.base_timestamp for run in runs], dtype=pl.Int64),
        "appended": pl.Series([run.appended for run in runs], dtype=pl.Int64),
        "since": pl.Series([run.since for run in runs], dtype=pl.Int64),
    }
    counts = pl.Series([run.count for run in runs])
    return pl.DataFrame(of_run)[pl.Series(range(len(runs)), dtype=pl.UInt32).repeat_by(counts).explode()]


@lru_cache(maxsize=64)
def _header(headers_size: int) -> bytes:
    fixed = [{"type": "fixed", "name": f"T{size}", "size": size} for size in (1, headers_size)]
    fields = [
        {"name": "length", "type": "long"},
        {"name": "attributes", "type": fixed[0]},
        {"name": "timestamp", "type": "long"},
        {"name": "offset", "type": "long"},
        {"name": "key", "type": "bytes"},
        {"name": "value", "type": "bytes"},
        {"name": "headers", "type": fixed[1] if headers_size != 1 else "T1"},
    ]
    return file_header({"type": "record", "name": "Record", "fields": fields})


def _headers_size(run: Run) -> int:
    """Of the run's first record."""
    return len(next(_walk(run))[-1])


def _adds_up(headers_size: int) -> pl.Expr:
    """Whether every row is as long as its record says: then the next one begins where its record does."""
    texts = [pl.col(name).bin.size().cast(pl.Int64) for name in ("key", "value")]
    numbers = [_varint_size(each) for each in (pl.col("timestamp"), pl.col("offset"), *texts)]
    return (pl.sum_horizontal(*texts, *numbers) + (1 + headers_size) == pl.col("length")).all()


def _varint_size(number: pl.Expr) -> pl.Expr:
    """Bytes of a number in zigzag coding, up to 2**33; of a larger one too few, so that it does not add up."""
    positive = pl.max_horizontal(number, -1 - number)
    return pl.sum_horizontal(pl.lit(1), *((positive >= 1 << bits).cast(pl.Int64) for bits in (6, 13, 20, 27)))


def _lengths_size(raw: pl.DataFrame) -> int:
    return int(raw.select(_varint_size(pl.col("length")).sum()).item())


def _walked(runs: Iterable[Run]) -> pl.DataFrame:
    rows = [(run.topic, run.partition, *row, run.since) for run in runs for row in _walk(run)]
    return pl.DataFrame(rows, schema={**COLUMNS, "since": pl.Int64()}, orient="row")


def _walkable(run: Run) -> Run:
    """The run, or one record in its place."""
    try:
        deque(_walk(run), maxlen=0)
    except (ValueError, IndexError):
        why = f"{run.topic} {run.partition}: records from offset {run.base_offset} on are not in Kafka's format"
        later = max(run.since - run.base_offset, 0)
        data = stand_in(why, run.data, later=later, through=run.base_offset + max(run.count, 1) - 1)
        return replace(run, count=1, data=data)
    return run


def _walk(run: Run) -> Iterator[tuple[int, int, bytes | None, bytes | None, bytes]]:
    """Offset, timestamp, key, value, headers of each record."""
    data, at = run.data, 0
    for _ in range(run.count):
        length, at = varint.read(data, at)
        end = at + length
        if not at < end <= len(data):
            raise ValueError("a record beyond the end of its batch")
        later, at = varint.read(data, at + 1)
        offset, at = varint.read(data, at)
        key, at = _bytes(data, at)
        value, at = _bytes(data, at)
        timestamp = run.base_timestamp + later if run.appended is None else run.appended
        if at > end or run.base_offset + offset not in _LONG or timestamp not in _LONG:
            raise ValueError("a record longer than it says, or at no offset or time")
        yield run.base_offset + offset, timestamp, key, value, data[at:end]
        at = end


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = varint.read(data, at)
    if size < 0:
        return None, at
    if at + size > len(data):
        raise ValueError("a length beyond the end of its batch")
    return data[at : at + size], at + size
