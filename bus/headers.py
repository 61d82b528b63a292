"""Record headers: CloudEvents' Kafka binding, binary mode. Nothing personal in them, so no ``ce_subject``.

Source: CloudEvents Kafka Protocol Binding 1.0.2, section 3.2 (binary content mode).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from bus.errors import BodyInvalid
from bus.event import Event, Op
from bus.names import AgencyCode, RegisterName

Headers = list[tuple[str, bytes]]

EVENT_ID = "ce_id"
VERSION = "ce_recordversion"
"""Extension attribute: the event's version, so that a tombstone alone can be applied as its delete."""

CONTENT_TYPE = b"application/vnd.confluent.avro"


def event_headers(event: Event, traceparent: str | None = None) -> Headers:
    """Headers of the record that carries ``event``."""
    headers = [*_attributes(event.register, event.op, event.source, event.event_id), ("content-type", CONTENT_TYPE)]
    return _traced(headers, traceparent)


def upsert_headers(
    register: RegisterName, source: AgencyCode, traceparent: str | None = None
) -> tuple[Headers, Headers]:
    """What all upserts of one source share, before and after their own ``EVENT_ID``: for bulk paths."""
    version, _id, *rest = _attributes(register, Op.UPSERT, source, UUID(int=0))
    return [version], _traced([*rest, ("content-type", CONTENT_TYPE)], traceparent)


def tombstone_headers(event: Event, traceparent: str | None = None) -> Headers:
    """Headers of the tombstone that follows a delete: enough to apply it when the delete itself was compacted away."""
    headers = [
        *_attributes(event.register, event.op, event.source, event.event_id),
        (VERSION, str(event.version).encode()),
        ("ce_time", event.recorded_at.isoformat().encode()),
    ]
    return _traced(headers, traceparent)


def _attributes(register: RegisterName, op: Op, source: AgencyCode, event_id: UUID) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        (EVENT_ID, str(event_id).encode()),
        ("ce_source", b"/agencies/" + source.encode()),
        ("ce_type", f"vn.lienthong.{register}.{op.lower()}".encode()),
    ]


def _traced(headers: Headers, traceparent: str | None) -> Headers:
    return headers if traceparent is None else [*headers, ("traceparent", traceparent.encode())]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What a tombstone's headers say about the delete it stands for."""

    event_id: str
    version: int
    source: str
    recorded_at: datetime


def read_tombstone(headers: Iterable[tuple[str, bytes | None]]) -> Tombstone:
    """Raises BodyInvalid when the headers do not name version, event id, source and time."""
    found = {name: value or b"" for name, value in headers}
    try:
        return Tombstone(
            event_id=str(UUID(found["ce_id"].decode())),
            version=_long(found[VERSION]),
            source=found["ce_source"].decode().removeprefix("/agencies/"),
            recorded_at=_moment(found["ce_time"].decode()),
        )
    except (KeyError, ValueError, OverflowError, AttributeError, TypeError) as error:
        raise BodyInvalid(f"tombstone without readable {VERSION}, ce_id, ce_source and ce_time headers") from error


def _long(text: bytes) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise OverflowError("no long of Avro")
    return number


def _moment(text: str) -> datetime:
    """In UTC; the offset has to be told, for a time without one is no moment."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("time without offset")
    return found.astimezone(UTC)
