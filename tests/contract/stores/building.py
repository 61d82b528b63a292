"""Tables, events and batches for the stores' contract. All people are made up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from bus.names import RegisterName, SubjectKind, TopicName
from consumers.stores.base import Store
from consumers.stores.model import ENVELOPE, Advance, Batch, Outcome, Parked, Partition, Slot, Table

ADDRESS = pl.Struct({"detail": pl.String(), "ward_code": pl.String()})
NOON = datetime(2025, 7, 1, 12, 0, 0, 123_456, tzinfo=UTC)

IDENTITY = Table(
    register=RegisterName("resident.identity"),
    subject=SubjectKind("resident"),
    key_field="personal_id",
    subject_key="personal_id",
    columns={
        "personal_id": pl.String(),
        "full_name": pl.String(),
        "children": pl.Int64(),
        "alive": pl.Boolean(),
        "born": pl.Date(),
        "seen_at": pl.Datetime("us", "UTC"),
        "height": pl.Float64(),
        "fee": pl.Decimal(18, 2),
        "photo": pl.Binary(),
        "address": ADDRESS,
        "phones": pl.List(pl.Struct({"kind": pl.String(), "number": pl.String()})),
    },
    fingerprint="identity-1",
)
RESIDENCE = Table(
    register=RegisterName("resident.residence"),
    subject=SubjectKind("resident"),
    key_field="personal_id",
    subject_key="personal_id",
    columns={"personal_id": pl.String(), "ward_code": pl.String()},
    fingerprint="residence-1",
)
REGISTRATION = Table(
    register=RegisterName("business.registration"),
    subject=SubjectKind("business"),
    key_field="enterprise_code",
    subject_key="enterprise_code",
    columns={"enterprise_code": pl.String(), "name": pl.String()},
    fingerprint="registration-1",
)
TAX = Table(
    register=RegisterName("business.tax"),
    subject=SubjectKind("business"),
    key_field="tax_id",
    subject_key="enterprise_code",
    columns={"tax_id": pl.String(), "enterprise_code": pl.String(), "tax_status": pl.String()},
    fingerprint="tax-1",
)
ALL = (IDENTITY, RESIDENCE, REGISTRATION, TAX)

FULL_STATE: Mapping[str, Any] = {
    "full_name": "Nguyễn Thị Bích Ngọc",
    "children": 2,
    "alive": True,
    "born": date(1985, 3, 12),
    "seen_at": datetime(2025, 7, 1, 1, 2, 3, 4, tzinfo=UTC),
    "height": 1.585,
    "fee": Decimal("1234567.80"),
    "photo": b"\x00\x01\\x\n\xff",
    "address": '{"ward_code":"26737","detail":"12 Võ Văn Tần"}',
    "phones": '[{"kind":"di động","number":"0701234567"},{"kind":null,"number":"\\"x\\""}]',
}


def upsert(key: str, version: int, **state: Any) -> dict[str, Any]:
    return {"op": "UPSERT", "key": key, "version": version, "state": state}


def delete(key: str, version: int) -> dict[str, Any]:
    return {"op": "DELETE", "key": key, "version": version, "state": None}


def merge(key: str, version: int, into: str) -> dict[str, Any]:
    return {"op": "MERGE", "key": key, "version": version, "replaced_by": into, "state": None}


def frame(table: Table, *events: Mapping[str, Any]) -> pl.DataFrame:
    flat = {name: pl.String() if dtype.is_nested() else dtype for name, dtype in table.columns.items()}
    rows = [_row(table, event) for event in events]
    return pl.DataFrame(rows, schema={**ENVELOPE, **flat}, orient="row")


def _row(table: Table, event: Mapping[str, Any]) -> dict[str, Any]:
    state = event["state"]
    known = dict.fromkeys(table.columns) if state is None else {table.key_field: event["key"], **state}
    at = NOON + timedelta(microseconds=event["version"])
    return {
        "op": event["op"],
        "key": event["key"],
        "version": event["version"],
        "source": "H29.5",
        "occurred_at": at - timedelta(seconds=1),
        "recorded_at": at,
        "event_id": f"01978000-0000-7000-8000-{event['version'] % 10**12:012d}",
        "replaced_by": event.get("replaced_by"),
        **{name: known.get(name) for name in table.columns},
    }


def parked(offset: int, *, table: Table = IDENTITY, **more: Any) -> Parked:
    fields = {
        "register": table.register,
        "topic": TopicName(f"city.{table.register}"),
        "topic_id": "topic-1",
        "partition": 0,
        "offset": offset,
        "reason": "body_invalid",
        "detail": "Avro body of 3 bytes does not decode (EOFError)",
        "key": b"\x00\xff",
        "value": b"\x00abc",
        "headers": (("trace", b"\x00\x01"), ("trace", b"")),
        "kafka_timestamp_ms": 1_751_328_000_000,
    }
    return Parked(**{**fields, **more})


@dataclass
class Owner:
    """A daemon's view of one partition: what it believes the position to be."""

    store: Store
    table: Table = IDENTITY
    slot: Slot = Slot.LIVE
    topic_id: str = "topic-1"
    partition: int = 0
    epoch: int = field(init=False)
    offset: int = field(init=False)

    def __post_init__(self) -> None:
        self.claim()

    @property
    def at(self) -> Partition:
        return Partition(TopicName(f"city.{self.table.register}"), self.partition)

    def claim(self) -> None:
        held = self.store.claim(self.table.register, self.slot, {self.at: self.topic_id}, "H29.7/replica")[self.at]
        self.epoch, self.offset = held.epoch, held.next_offset

    def batch(self, *events: Mapping[str, Any], **more: Any) -> Batch:
        caught_up_at = more.pop("caught_up_at", None)
        move = Advance(self.at, self.epoch, self.offset, self.offset + max(len(events), 1), caught_up_at)
        return Batch(self.table.register, frame(self.table, *events), [move], **more)

    def send(self, *events: Mapping[str, Any], **more: Any) -> Outcome | None:
        """Give the store a batch; the position is believed moved only when it took it."""
        batch = self.batch(*events, **more)
        outcome = self.store.fill(batch) if self.slot is Slot.SHADOW else self.store.apply(batch)
        self.offset = batch.advances[0].next_offset
        return outcome


def filled(store: Store, *events: Mapping[str, Any], table: Table = IDENTITY) -> Owner:
    """An owner of the live table, after a first fill with these events."""
    store.begin_fill(table.register)
    shadow = Owner(store, table, Slot.SHADOW)
    shadow.send(*events)
    store.finish_fill(table.register)
    return Owner(store, table)


def held(store: Store, table: Table = IDENTITY) -> dict[str, int]:
    """Versions by key."""
    rows = store.rows(table.register)
    return dict(zip(rows["key"], rows["version"], strict=True))
