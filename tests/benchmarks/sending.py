"""Two ways to publish ready states: whole batches of natively encoded events, and one event at a time."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from aiokafka import AIOKafkaProducer

from bus.bulk import BulkEncoder
from bus.event import Event, Op
from bus.headers import Headers, event_headers
from bus.names import TopicName
from producers.partition import partition_of
from producers.release import Release
from tests.benchmarks.events import IDENTITY, POLICE, event_frames, headers

BATCH_BYTES = 256 * 1024  # as the file diff's sender
PARTITIONS = 12
POISON_EVERY = 10_000

Record = tuple[bytes, bytes, Headers]
"""Key, value, headers."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go, and with which schema."""

    client: AIOKafkaProducer
    topic: TopicName
    release: Release


async def send_in_bulk(target: Target, states: pl.DataFrame, first_version: int, *, poison: bool = False) -> None:
    """Encode by columns and send per-partition batches; what was sent is acknowledged when this returns.

    With ``poison`` one event in ``POISON_EVERY`` is cut short.
    """
    encoder = BulkEncoder(target.release.schema_id, target.release.schema.parsed)
    flying: list[asyncio.Future[Any]] = []
    for events in event_frames(states, first_version):
        values = encoder.encode(events)
        if poison:
            numbers = events["version"] - first_version
            values = [spoilt(value) if is_poison(n) else value for n, value in zip(numbers, values, strict=True)]
        for partition, records in _laid_out(events, values).items():
            flying += await _append(target, partition, records)
        await asyncio.gather(*flying[:-PARTITIONS])  # the last batches fly while the next chunk is encoded
        del flying[:-PARTITIONS]
    await asyncio.gather(*flying)


async def send_one_by_one(target: Target, states: pl.DataFrame, first_version: int) -> None:
    """The plain way: fastavro's writer and aiokafka's ``send`` for each event."""
    flying: list[asyncio.Future[Any]] = []
    for events in event_frames(states, first_version):
        for row in events.iter_rows(named=True):
            event = Event(register=IDENTITY, **{**row, "op": Op.UPSERT, "source": POLICE})
            value = target.release.encoder.encode(event)
            flying.append(
                await target.client.send(target.topic, value, row["key"].encode(), headers=event_headers(event))
            )
        await asyncio.gather(*flying)
        flying.clear()


def is_poison(number: int) -> bool:
    return number % POISON_EVERY == POISON_EVERY // 10


def spoilt(value: bytes) -> bytes:
    return value[:-3]


def _laid_out(events: pl.DataFrame, values: Iterable[bytes]) -> dict[int, list[Record]]:
    laid: defaultdict[int, list[Record]] = defaultdict(list)
    for key, value, head in zip(events["key"], values, headers(events), strict=True):
        raw = key.encode()
        laid[partition_of(raw, PARTITIONS)].append((raw, value, head))
    return laid


async def _append(target: Target, partition: int, records: Sequence[Record]) -> list["asyncio.Future[Any]"]:
    sent = []
    batch = target.client.create_batch()
    for key, value, head in records:
        if batch.append(timestamp=None, key=key, value=value, headers=head) is None:
            sent.append(await target.client.send_batch(batch, target.topic, partition=partition))
            batch = target.client.create_batch()
            batch.append(timestamp=None, key=key, value=value, headers=head)
    sent.append(await target.client.send_batch(batch, target.topic, partition=partition))
    return sent
