"""The row way: a record at a time through fastavro. The columnar way's reference and fallback."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl

from bus import codec, unreadable, wire
from bus.catalog import Register
from bus.errors import BatchUnreadable, BodyInvalid, EventRefused, KeyMismatch, OwnerWrong, SchemaUnknown
from bus.event import MARKER_KEY, Event, Op
from bus.headers import read_tombstone
from bus.names import SchemaId, TopicName
from bus.records import Record
from consumers.reading.aliases import aimed
from consumers.reading.decoded import Decoded, frame_schema, park
from consumers.route import Source
from consumers.stores.model import ENVELOPE, Parked, Table

_PYTHON: Mapping[type[pl.DataType], tuple[type, ...]] = {
    pl.String: (str,),
    pl.Int64: (int,),
    pl.Float64: (float, int),
    pl.Boolean: (bool,),
    pl.Binary: (bytes,),
    pl.Date: (date,),
    pl.Datetime: (datetime,),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """All that decoding needs to know; nothing of it changes within a batch."""

    register: Register
    table: Table
    sources: Mapping[TopicName, Source]
    reader: codec.ParsedSchema
    writers: Mapping[SchemaId, codec.ParsedSchema]
    """Every schema id that the batch names and the registry knows."""


def decode_rows(reading: Reading, records: Iterable[tuple[int, Record]]) -> Decoded:
    """Decode record by record, each with its place in the batch; what is refused is parked, its neighbours go on."""
    rows: list[dict[str, Any]] = []
    parked: list[Parked] = []
    readers = {schema_id: aimed(reading.reader, writer) for schema_id, writer in reading.writers.items()}
    markers = 0
    for place, record in records:
        if record.key == MARKER_KEY:
            markers += 1
            continue
        try:
            rows.append({**_row(reading, readers, record), "record": place})
        except EventRefused as error:
            parked.append(park(reading.register.name, record, reading.sources[record.topic].topic_id, error))
    events = pl.DataFrame(rows, schema=frame_schema(reading.table), orient="row")
    return Decoded(events, parked, {"marker": markers} if markers else {})


def _row(reading: Reading, readers: Mapping[SchemaId, codec.ParsedSchema], record: Record) -> dict[str, Any]:
    key = _key(record)
    if record.value is None:
        return _tombstone(reading, record, key)
    schema_id, body = wire.split(record.value)
    writer = reading.writers.get(schema_id)
    if writer is None:
        raise SchemaUnknown(f"schema id {schema_id} is not in the registry, or cannot be read")
    event = codec.decode(reading.register.name, body, writer, readers[schema_id])
    state = _columns(reading.table, event.state or {})
    _check(reading, record, key, event, state)
    return {
        "op": str(event.op),
        "key": key,
        "version": _fitting(event.version, ENVELOPE["version"]),
        "source": event.source,
        "occurred_at": _fitting(event.occurred_at, ENVELOPE["occurred_at"]),
        "recorded_at": _fitting(event.recorded_at, ENVELOPE["recorded_at"]),
        "event_id": str(event.event_id),
        "replaced_by": event.replaced_by and _fitting(event.replaced_by, ENVELOPE["replaced_by"]),
        "tombstone": False,
        **state,
    }


def _key(record: Record) -> str:
    try:
        return bytes(record.key or b"").decode("utf-8", "strict") or _no_key(record)
    except UnicodeDecodeError as error:
        raise KeyMismatch("record key is not UTF-8") from error


def _no_key(record: Record) -> str:
    why = unreadable.why(record.headers)
    raise KeyMismatch("record has no key") if why is None else BatchUnreadable(why)


def _tombstone(reading: Reading, record: Record, key: str) -> dict[str, Any]:
    said = read_tombstone(record.headers)
    if said.source != reading.sources[record.topic].writer:
        raise OwnerWrong("tombstone does not come from the topic's writer")
    return {
        "op": "DELETE",
        "key": key,
        "version": said.version,
        "source": said.source,
        "occurred_at": said.recorded_at,
        "recorded_at": said.recorded_at,
        "event_id": said.event_id,
        "replaced_by": None,
        "tombstone": True,
    }


def _check(reading: Reading, record: Record, key: str, event: Event, state: Mapping[str, Any]) -> None:
    if event.key != key:
        raise KeyMismatch("record key and the key inside the event differ")
    if event.source != reading.sources[record.topic].writer:
        raise OwnerWrong("event's source is not the writer of this topic")
    if event.op is Op.UPSERT and (event.state is None or state.get(reading.register.key_field) != key):
        raise KeyMismatch(f"state is missing or its {reading.register.key_field} is not the event's key")
    if event.op is not Op.UPSERT and event.state is not None:
        raise BodyInvalid(f"{event.op} carries a state")
    if (event.op is Op.MERGE) != (event.replaced_by is not None):
        raise BodyInvalid("replaced_by goes with MERGE, and with nothing else")


def _columns(table: Table, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if (value := state.get(name)) is None else _fitting(value, dtype)
        for name, dtype in table.columns.items()
    }


def _fitting(value: Any, dtype: pl.DataType) -> Any:
    """The value as its column holds it. Raises BodyInvalid where the column cannot, as when a writer's type differs."""
    if type(value) in _PYTHON.get(type(dtype), ()):
        return value
    if dtype.is_nested():
        return _json(_ordered(value, dtype))
    if isinstance(value, UUID) and isinstance(dtype, pl.String):
        return str(value)
    # A decimal of more digits than its type has comes rounded, with another exponent.
    if isinstance(dtype, pl.Decimal) and isinstance(value, Decimal) and value.as_tuple().exponent == -dtype.scale:
        return value
    raise BodyInvalid(f"a {type(value).__name__} does not fit a column of type {dtype}")


def _ordered(value: Any, dtype: Any) -> Any:
    """The fields of records in the reader's order, whatever order they were written in."""
    if value is None or not dtype.is_nested():
        return value
    if isinstance(dtype, pl.Struct):
        return {field.name: _ordered(value[field.name], field.dtype) for field in dtype.fields}
    return [_ordered(item, dtype.inner) for item in value]


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_text)
    except (TypeError, ValueError) as error:  # NaN and infinity, bytes and decimals
        raise BodyInvalid("a nested value has no form in JSON") from error


def _text(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError
