"""Rows as Kafka records, or the reason why one cannot be sent. Pure.

Rows with final bytes only get their headers; rows of other languages are validated and encoded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from bus.catalog import Register
from bus.errors import StateInvalid
from bus.event import Event, Op
from bus.headers import CONTENT_TYPE, EVENT_ID, Headers, event_headers, tombstone_headers
from bus.names import AgencyCode
from bus.schema.fields import Field, Record
from producers.admission import MAX_EVENT_BYTES, key_refusals, refuse, state_refusals
from producers.capture.translation import Translator
from producers.lane import too_large
from producers.outbox.relay import bulk
from producers.outbox.relay.row import Row
from producers.outbox.table import BYTES, JSON, REASON_LENGTH, ROW, TOMBSTONE
from producers.outbox.types import read_event_id, read_moment
from producers.release import Release

BULK_ROWS = 64  # fewer are sooner done one by one
SLICE_ROWS = 1_000  # what one strange row leaves to the row way
OPS = tuple(str(op) for op in Op)

KafkaRecord = tuple[bytes, bytes | None, Headers]


@dataclass(slots=True)
class Batch:
    """Rows of one transaction: what is sent, and which rows are done or cannot be."""

    records: list[KafkaRecord] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    ops: list[str] = field(default_factory=list)
    """Of the events sent, for the count."""
    parked: list[tuple[int, str, str]] = field(default_factory=list)
    """Row, event id, reason; never a value of the data."""


@dataclass(frozen=True, slots=True)
class RowEncoder:
    register: Register
    agency: AgencyCode
    release: Release
    translator: Translator | None = None
    """For rows of captured tables; without one they are parked."""

    def encode(self, rows: Sequence[Row]) -> Batch:
        """The rows' records in order."""
        batch = Batch()
        if self.translator is not None and any(row[4] == ROW for row in rows):
            translated = self.translator.translate(rows)
            rows, batch.parked = translated.rows, translated.parked
        encoded = self._in_bulk(rows)
        records, done, ops, limit = batch.records, batch.done, batch.ops, MAX_EVENT_BYTES
        spec, content = ("ce_specversion", b"1.0"), ("content-type", CONTENT_TYPE)
        source = ("ce_source", b"/agencies/" + self.agency.encode())
        kinds = {op: ("ce_type", f"vn.lienthong.{self.register.name}.{op.lower()}".encode()) for op in OPS}
        for row in rows:
            seq, key, event_id, kind, form, payload, _version, traceparent, *_ = row
            if encoded and seq in encoded:
                form, payload, event_id = BYTES, encoded[seq], event_id.lower()
            if form == BYTES and payload and payload[0] == 0 and len(payload) <= limit and kind in kinds and key:
                headers = [spec, (EVENT_ID, event_id), source, kinds[kind], content]
                if traceparent:
                    headers.append(("traceparent", traceparent.encode()))
                records.append((key, payload, headers))
                done.append(seq)
                ops.append(kind)
            else:
                self._rare(Row._make(row), batch)
        return batch

    def _in_bulk(self, rows: Sequence[Row]) -> dict[int, bytes]:
        """Final bytes by row number, of JSON rows where there are many."""
        found: dict[int, bytes] = {}
        upserts = [Row._make(row) for row in rows if row[4] == JSON and row[3] == Op.UPSERT]
        if len(upserts) >= BULK_ROWS and bulk.fits(self.release.schema):
            for start in range(0, len(upserts), SLICE_ROWS):
                found |= bulk.values(self.register, self.agency, self.release, upserts[start : start + SLICE_ROWS])
        return found

    def _rare(self, row: Row, batch: Batch) -> None:
        try:
            batch.records += self._records(row)
        except StateInvalid as error:
            batch.parked.append((row.seq, row.event_id.decode(), str(error)[:REASON_LENGTH]))
            return
        batch.done.append(row.seq)
        if row.type != TOMBSTONE:
            batch.ops.append(row.type)

    def _records(self, row: Row) -> list[KafkaRecord]:
        if row.type == TOMBSTONE and row.payload is None:
            event = self._event(row, Op.DELETE, None)
            return [(row.key, None, tombstone_headers(event, row.traceparent))]
        if row.payload is not None and len(row.payload) > MAX_EVENT_BYTES:
            raise too_large(self.register.name, len(row.payload))
        if row.format != JSON:
            raise self._bad("format", "final bytes that start with 0, or the format json")
        if row.type not in OPS:
            raise self._bad("type", f"one of {', '.join(OPS)}")
        event = self._event(row, Op(row.type), self._told(row))
        value = self.release.encoder.encode(event)
        if len(value) > MAX_EVENT_BYTES:
            raise too_large(self.register.name, len(value))
        records: list[KafkaRecord] = [(row.key, value, event_headers(event, row.traceparent))]
        if event.op is Op.DELETE:
            records.append((row.key, None, tombstone_headers(event, row.traceparent)))
        return records

    def _told(self, row: Row) -> Mapping[str, Any] | None:
        """What the payload says: the state, or of a merge the other key."""
        if row.type == Op.DELETE:
            return None
        try:
            told = json.loads(row.payload or b"")
        except (ValueError, RecursionError) as error:  # the latter where it nests too deep
            raise self._bad("payload", "JSON in UTF-8") from error
        if not isinstance(told, dict):
            raise self._bad("payload", "a JSON object")
        return told

    def _event(self, row: Row, op: Op, told: Mapping[str, Any] | None) -> Event:
        key, recorded = row.key.decode(), read_moment(row.created_at)
        assert recorded is not None  # noqa: S101 - the column has no nulls
        event = Event(
            register=self.register.name,
            event_id=self._uuid(row.event_id),
            op=op,
            key=key,
            version=row.version,
            source=self.agency,
            occurred_at=read_moment(row.occurred_at) or recorded,
            recorded_at=recorded,
            replaced_by=self._other(told) if op is Op.MERGE else None,
            state=typed(self.release.schema.state, told) if op is Op.UPSERT and told is not None else None,
        )
        self._check(event)
        return event

    def _check(self, event: Event) -> None:
        schema = self.release.schema
        if event.state is None:
            for key in (event.key, event.replaced_by):
                if key is not None:
                    refuse(self.register, key_refusals(self.register, schema, self.agency, key))
            if event.key == event.replaced_by:
                raise self._bad("replaced_by", "another key than the one that is merged into it")
            return
        refuse(self.register, state_refusals(self.register, schema, self.agency, event.state))
        if event.state.get(self.register.key_field) != event.key:
            raise self._bad("aggregateid", f"the same as {self.register.key_field}")

    def _other(self, told: Mapping[str, Any] | None) -> str:
        other = (told or {}).get("replaced_by")
        if not isinstance(other, str):
            raise self._bad("payload", 'for a merge {"replaced_by": the key that lives on}')
        return other

    def _uuid(self, text: bytes) -> UUID:
        try:
            return read_event_id(text)
        except ValueError as error:
            raise self._bad("id", "a UUID") from error

    def _bad(self, column: str, expected: str) -> StateInvalid:
        return StateInvalid(f"{self.register.name}: {column}: expected {expected}")


def typed(record: Record, told: Mapping[str, Any]) -> dict[str, Any]:
    """A state read from JSON, its dates and points in time as such; what does not fit is left for the rules to name."""
    fields = {field.name: field for field in record.fields}
    return {name: _typed(fields[name], value) if name in fields else value for name, value in told.items()}


def _typed(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.record and isinstance(value, dict):
        return typed(field.record, value)
    if field.items and isinstance(value, list):
        return [_typed(field.items.fields[0], item) for item in value]
    if isinstance(value, str) and field.kind in ("date", "timestamp"):
        read = date.fromisoformat if field.kind == "date" else datetime.fromisoformat
        try:
            return read(value)
        except ValueError:
            return value
    return float(value) if field.kind in ("float", "double") and type(value) is int else value
