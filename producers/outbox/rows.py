"""Rows of the outbox, made of drafts that have their version. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from bus.catalog import Register
from bus.event import Event, Op
from bus.names import AgencyCode
from producers.admission import MAX_EVENT_BYTES
from producers.lane import too_large
from producers.outbox.table import BYTES, JSON, TOMBSTONE
from producers.outbox.types import moment
from producers.release import Release


@dataclass(frozen=True, slots=True)
class Draft:
    """An admitted event before it has a version."""

    event_id: UUID
    op: Op
    key: str
    occurred_at: datetime
    recorded_at: datetime
    state: Mapping[str, Any] | None = None
    replaced_by: str | None = None
    traceparent: str | None = None


def kind(register: Register, agency: AgencyCode) -> str:
    """The ``aggregatetype``: the topic without prefix and generation, such as ``dossier.case.H29.101``."""
    return register.topic_stem(agency).removeprefix(f"{register.prefix}.")


def source(agency: AgencyCode) -> str:
    """An agency as CloudEvents names a source."""
    return f"/agencies/{agency}"


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes the rows of one register and agency for one kind of database."""

    register: Register
    agency: AgencyCode
    release: Release | None
    """None where the relay is to encode."""

    def rows(self, draft: Draft, version: int, dialect: str) -> Iterator[dict[str, Any]]:
        """The event's row, and after a delete in final bytes its tombstone's. Raises StateInvalid where too large."""
        row = {
            "id": str(draft.event_id),
            "aggregatetype": kind(self.register, self.agency),
            "aggregateid": draft.key,
            "type": str(draft.op),
            "payload": self._payload(draft, version),
            "format": BYTES if self.release else JSON,
            "version": version,
            "source": source(self.agency),
            "traceparent": draft.traceparent,
            "occurred_at": moment(draft.occurred_at, dialect),
            "created_at": moment(draft.recorded_at, dialect),
        }
        yield row
        if self.release and draft.op is Op.DELETE:
            yield row | {"type": TOMBSTONE, "payload": None}

    def _payload(self, draft: Draft, version: int) -> bytes | None:
        found = self._encoded(draft, version) if self.release else as_json(draft)
        if found is not None and len(found) > MAX_EVENT_BYTES:
            raise too_large(self.register.name, len(found))
        return found

    def _encoded(self, draft: Draft, version: int) -> bytes:
        event = Event(
            register=self.register.name,
            event_id=draft.event_id,
            op=draft.op,
            key=draft.key,
            version=version,
            source=self.agency,
            occurred_at=draft.occurred_at,
            recorded_at=draft.recorded_at,
            replaced_by=draft.replaced_by,
            state=draft.state,
        )
        assert self.release is not None  # noqa: S101 - the caller has looked
        return self.release.encoder.encode(event)


def as_json(draft: Draft) -> bytes | None:
    """What a row without final bytes holds: the state, for a merge ``{"replaced_by": key}``, for a delete nothing."""
    if draft.op is Op.DELETE:
        return None
    told = draft.state if draft.op is Op.UPSERT else {"replaced_by": draft.replaced_by}
    return json.dumps(told, ensure_ascii=False, default=_iso).encode()


def _iso(value: Any) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
