"""Sends a run's changes in transactions of bounded size, and keeps the state in step with each."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from aiokafka import AIOKafkaProducer

from bus import kafka, metrics
from bus.crashpoints import crash_point
from bus.event import Op, next_version
from bus.names import AgencyCode
from producers.filediff import encoding
from producers.filediff.diff import HASH, KEY, PRINT
from producers.filediff.encoding import Envelope, Record
from producers.filediff.replay import Source
from producers.filediff.state import FileState, Published
from producers.lane import Clock, microseconds
from producers.partition import partition_of
from producers.release import Release
from producers.transaction import transaction

BATCH_BYTES = 256 * 1024  # of records before compression; a request carries one batch per partition


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run's changes come from."""

    occurred_at: datetime
    """When the export was made: each of its changes had happened by then."""
    traceparent: str
    """W3C trace context of the run."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch on its way."""

    acknowledged: "asyncio.Future[Any]"
    records: int


class Sender:
    """Everything in one transaction has one version, above all that the topic holds (docs/adr/0002)."""

    def __init__(
        self,
        client: AIOKafkaProducer,
        state: FileState,
        source: Source,
        release: Release,
        agency: AgencyCode,
        origin: Origin,
        now: Clock,
    ) -> None:
        self._client = client
        self._state = state
        self._source = source
        self._release = release
        self._agency = agency
        self._origin = origin
        self._now = now
        self._high = state.high_water()
        self._ends: dict[int, int | None] = dict(state.positions())

    async def upsert(self, states: pl.DataFrame) -> None:
        """One transaction of new and changed states, with KEY, HASH and PRINT."""
        envelope = self._envelope()
        rows = [
            Published(key, hashed, envelope.version, gone=False, print=print_)
            for key, hashed, print_ in states.select(KEY, HASH, PRINT).iter_rows()
        ]
        await self._transact(encoding.upserts(self._release, envelope, states), rows, Op.UPSERT)

    async def delete(self, keys: Sequence[str]) -> None:
        """One transaction of deletes, each with its tombstone."""
        envelope = self._envelope()
        rows = [Published(key, None, envelope.version, gone=True) for key in keys]
        await self._transact(encoding.deletes(self._release, envelope, keys), rows, Op.DELETE)

    def _envelope(self) -> Envelope:
        now = self._now()
        self._high = next_version(self._high, microseconds(now))
        return Envelope(
            register=self._source.register.name,
            source=self._agency,
            version=self._high,
            occurred_at=min(self._origin.occurred_at, now),
            recorded_at=now,
            traceparent=self._origin.traceparent,
        )

    async def _transact(self, records: Iterable[Record], rows: Sequence[Published], op: Op) -> None:
        """Commit to Kafka, then to the state. Killed in between, the next run reads the difference from the topic."""
        laid = self._laid_out(records)
        with kafka.told_plainly(self._source.kafka):
            async with transaction(self._client):
                crash_point("filediff.begun")
                sent = [await self._append(partition, own) for partition, own in laid.items()]
                offsets = [[(await batch.acknowledged).offset for batch in batches] for batches in sent]
                crash_point("filediff.sent")
        crash_point("filediff.committed")
        positions = {
            partition: end
            for partition, batches, first in zip(laid, sent, offsets, strict=True)
            if (end := self._advanced(partition, first, [batch.records for batch in batches])) is not None
        }
        self._state.apply(rows, positions)
        crash_point("filediff.recorded")
        metrics.published.labels(self._source.register.name, self._agency, op).inc(len(rows))

    def _laid_out(self, records: Iterable[Record]) -> dict[int, list[Record]]:
        """The records by partition, in their order."""
        laid: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            laid[partition_of(record.key, self._source.facts.partitions)].append(record)
        return dict(laid)

    async def _append(self, partition: int, records: Sequence[Record]) -> list[Sent]:
        """Give one partition's records to the client, as whole batches in their order."""
        sent = []
        batch = self._client.create_batch()
        for record in records:
            if self._put(batch, record) is None:
                sent.append(await self._submit(batch, partition))
                batch = self._client.create_batch()
                self._put(batch, record)
        sent.append(await self._submit(batch, partition))
        return sent

    async def _submit(self, batch: Any, partition: int) -> Sent:
        count = batch.record_count()
        return Sent(await self._client.send_batch(batch, self._source.topic, partition=partition), count)

    @staticmethod
    def _put(batch: Any, record: Record) -> Any:
        return batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers)

    def _advanced(self, partition: int, offsets: Sequence[int], counts: Sequence[int]) -> int | None:
        """Where the state stands in a partition after batches of these counts, from these offsets on.

        None where somebody else has written there too, by whatever right: the next run has to read that.
        """
        expected = self._ends.get(partition, 0)
        for offset, count in zip(offsets, counts, strict=True):
            if expected is None or offset != expected:
                self._ends[partition] = None
                return None
            expected += count
        if expected is not None:
            self._ends[partition] = expected + 1  # the transaction's marker takes an offset too
        return expected
