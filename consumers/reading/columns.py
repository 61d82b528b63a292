"""The columnar way: a batch as one Avro block per schema id, decoded into a frame and checked as columns.

Whatever looks strange is given to the row way, whose answer stands: a block that does not decode is split until at most
256 messages are left, and single rows that break a check are decoded again by themselves. One corruption looks like
nothing: Polars takes any branch of a union but null's for the other one, where the row way refuses those out of range.
"""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

import polars as pl
from aiokafka import ConsumerRecord
from polars.exceptions import PanicException

from bus import wire
from bus.codec import ParsedSchema
from bus.event import MARKER_KEY, Op
from bus.names import SchemaId
from consumers.reading.block import MARK_BYTES, SEAM, BlockWriter, Unreadable, block_writer
from consumers.reading.decoded import Decoded, frame_schema
from consumers.reading.resolve import STATEFUL, UUID, odd_texts, resolve
from consumers.reading.rows import Reading, decode_rows
from consumers.stores.base import Table

ROW_SLICE = 256  # at most this many messages of a strange block go the row way
FAN_OUT = 16  # parts that a strange block is split into: two levels from 20,000 messages to a row slice
_ODD = "#odd"

Placed = list[tuple[int, ConsumerRecord]]
"""Records with their places in the batch."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the messages of one schema become the reader's columns."""

    writer: BlockWriter
    columns: Sequence[pl.Expr]


class ColumnDecoder:
    """Decodes batches of one register; how each schema is read is worked out once."""

    def __init__(self) -> None:
        self._plans: dict[SchemaId, Plan | None] = {}
        self._reader: ParsedSchema | None = None

    def decode(self, reading: Reading, records: Sequence[ConsumerRecord]) -> Decoded:
        """The same answer as ``decode_rows``, an order of magnitude sooner."""
        if reading.reader is not self._reader:
            self._plans, self._reader = {}, reading.reader
        parts: list[Decoded] = []
        by_rows: Placed = []
        for prefix, group in _by_prefix(records).items():
            plan = self._plan(prefix, reading)
            if plan is None:
                by_rows += group
            else:
                parts += _decode(plan, reading, group)
        if by_rows:
            parts.append(decode_rows(reading, sorted(by_rows, key=itemgetter(0))))
        return _joined(reading.table, parts)

    def _plan(self, prefix: bytes, reading: Reading) -> Plan | None:
        if len(prefix) != wire.PREFIX_BYTES or prefix[0] != 0:
            return None
        schema_id = SchemaId(int.from_bytes(prefix[1:], "big"))
        if schema_id not in self._plans and schema_id in reading.writers:
            self._plans[schema_id] = _make_plan(schema_id, reading)
        return self._plans.get(schema_id)


def _make_plan(schema_id: SchemaId, reading: Reading) -> Plan | None:
    """None where the columnar way cannot serve this schema."""
    written = reading.writers[schema_id]
    if reading.table.columns.get(reading.register.key_field) != pl.String:
        return None
    try:
        resolved = resolve(written, reading.reader, reading.table)
        plan = Plan(block_writer(written, schema_id), [*resolved.columns, resolved.odd.alias(_ODD)])
    except Unreadable:
        return None
    return plan if _block_frame(plan, []) is not None else None


def _by_prefix(records: Sequence[ConsumerRecord]) -> Mapping[bytes, Placed]:
    """Records by the first five bytes of their values; tombstones and markers under no bytes at all."""
    groups: dict[bytes, Placed] = {}
    for place, record in enumerate(records):
        value = record.value
        prefix = b"" if value is None or record.key == MARKER_KEY else value[: wire.PREFIX_BYTES]
        groups.setdefault(prefix, []).append((place, record))
    return groups


def _decode(plan: Plan, reading: Reading, group: Placed) -> Iterator[Decoded]:
    frame = _block_frame(plan, [record.value for _, record in group])
    if frame is not None:
        yield from _checked(frame, reading, group)
    elif len(group) <= ROW_SLICE:
        yield decode_rows(reading, group)
    else:
        size = max(len(group) // FAN_OUT, ROW_SLICE)
        for start in range(0, len(group), size):
            yield from _decode(plan, reading, group[start : start + size])


def _block_frame(plan: Plan, values: Sequence[bytes]) -> pl.DataFrame | None:
    """The messages as columns, or None where the block's rows are not its messages, or no values of their types."""
    mark = os.urandom(MARK_BYTES)
    try:
        raw = pl.read_avro(io.BytesIO(plan.writer.block(values, mark)))
        aligned = raw.height == len(values) and raw.get_column(SEAM).eq_missing(mark + plan.writer.prefix).all()
        return raw.select(plan.columns) if aligned else None
    except (Exception, PanicException):  # noqa: BLE001 - PolarsError, OSError, a panic: what the native reader makes of rubbish
        return None


def _checked(frame: pl.DataFrame, reading: Reading, group: Placed) -> Iterator[Decoded]:
    """The rows that pass every check; the row way's answer for the others."""
    keys = pl.Series([record.key for _, record in group], dtype=pl.Binary)
    places = pl.Series("record", [place for place, _ in group], dtype=pl.UInt32)
    strange = frame.select(_strange(reading, keys, _writers(reading, group))).to_series()
    schema = frame_schema(reading.table)
    events = frame.with_columns(places, pl.lit(False).alias("tombstone")).select(list(schema))
    if strange.any():
        events = events.filter(~strange)
        yield decode_rows(reading, [group[index] for index in strange.arg_true()])
    yield Decoded(events, ())


def _strange(reading: Reading, keys: pl.Series, writers: pl.Expr) -> pl.Expr:
    """Rows that break what ``rows`` checks of an event, or that hold a value with no form in Python."""
    op, stateful = pl.col("op"), pl.col(STATEFUL)
    state_key = pl.col(reading.register.key_field)
    fine = [
        pl.col("key").cast(pl.Binary) == pl.lit(keys),
        pl.col("key") != "",
        pl.col("source") == writers,
        pl.col("event_id").str.contains(UUID),
        op.is_in(list(Op)),
        pl.when(op == "UPSERT").then(stateful & (state_key == pl.col("key"))).otherwise(~stateful),
        (op == "MERGE") == pl.col("replaced_by").is_not_null(),
        ~pl.col(_ODD),
        *(odd.not_().fill_null(value=True) for odd in odd_texts(reading.table)),
    ]
    return ~pl.all_horizontal(*(each.fill_null(value=False) for each in fine))


def _writers(reading: Reading, group: Placed) -> pl.Expr:
    """Who may have written each row: one agency a topic."""
    if len(reading.sources) == 1:
        return pl.lit(next(iter(reading.sources.values())).writer)
    return pl.lit(pl.Series([reading.sources[record.topic].writer for _, record in group], dtype=pl.String))


def _joined(table: Table, parts: Sequence[Decoded]) -> Decoded:
    if len(parts) == 1:
        return parts[0]
    empty = pl.DataFrame(schema=frame_schema(table))
    events = pl.concat([empty, *(part.events for part in parts)]).sort("record")
    counts: dict[str, int] = {}
    for part in parts:
        for outcome, n in part.counts.items():
            counts[outcome] = counts.get(outcome, 0) + n
    parked = sorted(
        chain.from_iterable(part.parked for part in parts), key=lambda each: (each.topic, each.partition, each.offset)
    )
    return Decoded(events, parked, counts)
