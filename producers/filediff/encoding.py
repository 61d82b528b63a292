"""Changed rows and deleted keys as Kafka records."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from uuid_utils.compat import uuid7

from bus.event import Event, Op
from bus.headers import EVENT_ID, Headers, event_headers, tombstone_headers, upsert_headers
from bus.names import AgencyCode, RegisterName
from producers.filediff.diff import KEY
from producers.release import Release


@dataclass(frozen=True, slots=True)
class Record:
    key: bytes
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the events of one transaction share."""

    register: RegisterName
    source: AgencyCode
    version: int
    occurred_at: datetime
    recorded_at: datetime
    traceparent: str


def upserts(release: Release, envelope: Envelope, states: pl.DataFrame) -> Iterator[Record]:
    """One record per state, in order, encoded together; ``states`` are the register's columns and KEY."""
    ids = [str(uuid7()) for _ in range(states.height)]
    frame = states.select(
        event_id=pl.Series(ids, dtype=pl.String),
        op=pl.lit(str(Op.UPSERT)),
        key=KEY,
        version=pl.lit(envelope.version, pl.Int64),
        source=pl.lit(envelope.source),
        occurred_at=pl.lit(envelope.occurred_at),
        recorded_at=pl.lit(envelope.recorded_at),
        replaced_by=pl.lit(None, pl.String),
        state=pl.struct(field.name for field in release.schema.fields),
    )
    head, tail = upsert_headers(envelope.register, envelope.source, envelope.traceparent)
    for key, event_id, value in zip(states[KEY], ids, release.bulk.encode(frame), strict=True):
        yield Record(key.encode(), value, [*head, (EVENT_ID, event_id.encode()), *tail])


def deletes(release: Release, envelope: Envelope, keys: Iterable[str]) -> Iterator[Record]:
    """The delete and its tombstone for each key."""
    for key in keys:
        event = _event(envelope, Op.DELETE, key, None)
        yield _record(release, event, envelope)
        yield Record(key.encode(), None, tombstone_headers(event, envelope.traceparent))


def slices(frame: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    return (frame.slice(start, rows) for start in range(0, frame.height, rows))


def key_slices(keys: pl.Series, count: int) -> Iterator[Sequence[str]]:
    return (keys.slice(start, count).to_list() for start in range(0, len(keys), count))


def _record(release: Release, event: Event, envelope: Envelope) -> Record:
    return Record(event.key.encode(), release.encoder.encode(event), event_headers(event, envelope.traceparent))


def _event(envelope: Envelope, op: Op, key: str, state: dict[str, object] | None) -> Event:
    return Event(
        register=envelope.register,
        event_id=uuid7(),
        op=op,
        key=key,
        version=envelope.version,
        source=envelope.source,
        occurred_at=envelope.occurred_at,
        recorded_at=envelope.recorded_at,
        replaced_by=None,
        state=state,
    )
