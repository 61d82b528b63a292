"""What reading a batch of records comes to: events as a frame, refused ones parked, outcomes counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from bus.errors import BusError
from bus.names import RegisterName
from bus.records import Record
from consumers.stores.model import ENVELOPE, Parked, Table

OWN = frozenset({*ENVELOPE, "tombstone", "record"})
"""Columns of every frame of events, whatever the register."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Events in order of arrival.

    ``events`` has the envelope's columns, the state's (nested ones as JSON text), ``tombstone`` (bool) and ``record``
    (u32, place in the batch, so that an event the database refuses can be parked with its bytes).
    """

    events: pl.DataFrame
    parked: Sequence[Parked]
    counts: Mapping[str, int] = field(default_factory=dict)


def frame_schema(table: Table) -> dict[str, pl.DataType]:
    """Columns of ``Decoded.events`` for one register."""
    flat = {name: pl.String() if dtype.is_nested() else dtype for name, dtype in table.columns.items()}
    return {**ENVELOPE, "tombstone": pl.Boolean(), "record": pl.UInt32(), **flat}


def park(register: RegisterName, record: Record, topic_id: str, error: BusError) -> Parked:
    return Parked(
        register=register,
        topic=record.topic,
        topic_id=topic_id,
        partition=record.partition,
        offset=record.offset,
        reason=error.reason,
        detail=str(error),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        kafka_timestamp_ms=record.timestamp,
    )
