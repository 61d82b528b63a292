"""One topic's way out: one task gives versions and appends, so that offset order is version order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from uuid_utils.compat import uuid7

from bus import kafka, metrics
from bus.catalog import Register
from bus.errors import BrokerUnavailable, BusError, StateInvalid
from bus.event import Event, Op, next_version
from bus.headers import Headers, event_headers, tombstone_headers
from bus.names import AgencyCode, RegisterName, TopicName
from bus.settings import KafkaSettings
from producers.admission import MAX_EVENT_BYTES
from producers.partition import partition_of
from producers.release import Release
from producers.transaction import transaction

QUEUE_LENGTH = 10_000
TRANSACTION_EVENTS = 1_000  # well within the transaction timeout, and a late event waits for few before it
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DRAIN_SHARE = 0.6  # of the time for closing
ABORT_SHARE = 0.2

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Kafka has the event, on as many brokers as the topic asks for."""

    event_id: UUID
    version: int
    topic: TopicName
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An admitted event before it has a version."""

    op: Op
    key: str
    state: Mapping[str, Any] | None = None
    replaced_by: str | None = None
    occurred_at: datetime | None = None
    traceparent: str | None = None
    receipt: "asyncio.Future[Receipt]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Way:
    """Where a lane leads: the register, its topic, and what is written there."""

    register: Register
    agency: AgencyCode
    topic: TopicName
    release: Release
    high_water: Mapping[int, int]
    """Per partition, at least the last version of every key in it (docs/adr/0002)."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A draft with its version, as bytes."""

    draft: Draft
    event: Event
    partition: int
    records: tuple[tuple[bytes | None, Headers], ...]
    """The event's own record, and after a delete its tombstone."""


class Lane:
    """Sends drafts in the order in which they came.

    After a send that failed nothing more goes out: a new lane has to look first at what Kafka has.
    """

    def __init__(
        self, way: Way, client: AIOKafkaProducer, settings: KafkaSettings, now: Clock, *, exclusive: bool
    ) -> None:
        self._way = way
        self._client = client
        self._settings = settings
        self._now = now
        self._send: Callable[[list[Draft]], Awaitable[None]] = self._together if exclusive else self._each
        self._high = dict(way.high_water)
        self._queue: asyncio.Queue[Draft | None] = asyncio.Queue(QUEUE_LENGTH)
        self._failure: Exception | None = None
        self._open: set[asyncio.Future[Receipt]] = set()
        self._task = asyncio.create_task(self._run(), name=f"lane {way.topic}")

    async def put(self, draft: Draft) -> None:
        """Queue a draft; its ``receipt`` tells what became of it. Raises what ended this lane, if something did."""
        if self._failure is not None:
            raise again(self._failure)
        self._open.add(draft.receipt)
        draft.receipt.add_done_callback(self._closed)
        await self._queue.put(draft)
        if self._failure is not None:
            _refuse(draft, self._failure)

    async def close(self, seconds: float) -> None:
        """Send what is queued and wait for its receipts; what has none in time fails with BrokerUnavailable.

        Takes four fifths of the seconds at most, so that the client can leave within them.
        """
        try:
            async with asyncio.timeout(DRAIN_SHARE * seconds):
                await self._queue.put(None)
                await self._task
                if self._open:
                    await asyncio.wait(self._open)
        except TimeoutError:
            self._fail(BrokerUnavailable(f"{self._way.topic}: closed before Kafka acknowledged everything"))
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=ABORT_SHARE * seconds)
            self._task.cancel()  # out of an abort that nobody answers
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        last = False
        while not last:
            found = [await self._queue.get()]
            while not self._queue.empty() and len(found) < TRANSACTION_EVENTS:
                found.append(self._queue.get_nowait())
            last = None in found
            await self._pass_on([draft for draft in found if draft is not None])

    async def _pass_on(self, drafts: list[Draft]) -> None:
        """Send them, save those whose publisher has given up waiting."""
        if self._failure is not None:
            self._fail(self._failure)
            return
        try:
            with kafka.told_plainly(self._settings):
                await self._send([draft for draft in drafts if not draft.receipt.done()])
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the lane and every publisher hears of it
            self._fail(error)

    async def _each(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            ready = self._ready(draft)
            if ready is not None:
                last = (await self._append(ready))[-1]
                last.add_done_callback(partial(self._settle, ready))

    async def _together(self, drafts: list[Draft]) -> None:
        everything = [ready for draft in drafts if (ready := self._ready(draft)) is not None]
        if not everything:
            return
        async with transaction(self._client):
            sent = [await self._append(ready) for ready in everything]
            places = [await asyncio.gather(*futures) for futures in sent]
        for ready, records in zip(everything, places, strict=True):
            self._deliver(ready, records[-1].offset)

    def _ready(self, draft: Draft) -> Ready | None:
        """None where it turns out too large for Kafka: that draft alone is refused."""
        now = self._now()
        partition = partition_of(draft.key, self._way.register.partitions)
        event = Event(
            register=self._way.register.name,
            event_id=uuid7(),
            op=draft.op,
            key=draft.key,
            version=next_version(self._high.get(partition), microseconds(now)),
            source=self._way.agency,
            occurred_at=draft.occurred_at or now,
            recorded_at=now,
            replaced_by=draft.replaced_by,
            state=draft.state,
        )
        value = self._way.release.encoder.encode(event)
        if len(value) > MAX_EVENT_BYTES:
            _refuse(draft, too_large(self._way.register.name, len(value)))
            return None
        self._high[partition] = event.version
        records: list[tuple[bytes | None, Headers]] = [(value, event_headers(event, draft.traceparent))]
        if event.op is Op.DELETE:
            records.append((None, tombstone_headers(event, draft.traceparent)))
        return Ready(draft, event, partition, tuple(records))

    async def _append(self, ready: Ready) -> list["asyncio.Future[Any]"]:
        """Give the records to the client, in order; a future for the acknowledgement of each."""
        return [await self._append_one(ready, value, headers) for value, headers in ready.records]

    async def _append_one(self, ready: Ready, value: bytes | None, headers: Headers) -> "asyncio.Future[Any]":
        while True:
            try:
                return cast(
                    "asyncio.Future[Any]",
                    await self._client.send(
                        self._way.topic,
                        value,
                        ready.event.key.encode(),
                        partition=ready.partition,
                        timestamp_ms=microseconds(ready.event.recorded_at) // 1000,
                        headers=headers,
                    ),
                )
            except (
                KafkaTimeoutError
            ):  # the client's buffer is full: nothing was appended, so the same may be tried again
                continue

    def _settle(self, ready: Ready, done: "asyncio.Future[Any]") -> None:
        try:
            with kafka.told_plainly(self._settings):
                self._deliver(ready, done.result().offset)
        except BusError as error:
            self._fail(error)

    def _deliver(self, ready: Ready, last_offset: int) -> None:
        """Hand out the receipt of an acknowledged event."""
        event, draft = ready.event, ready.draft
        labels = (event.register, event.source, event.op)
        metrics.published.labels(*labels).inc()
        metrics.publish_seconds.labels(event.register).observe(time.monotonic() - draft.since)
        if not draft.receipt.done():
            offset = last_offset - len(ready.records) + 1
            draft.receipt.set_result(Receipt(event.event_id, event.version, self._way.topic, ready.partition, offset))

    def _fail(self, error: Exception) -> None:
        """Nothing after a failed record may overtake it: whoever waits hears of it, and whoever comes."""
        if self._failure is None:
            self._failure = _final(error, self._way.topic)
        for receipt in list(self._open):
            if not receipt.done():
                receipt.set_exception(again(self._failure))

    def _closed(self, receipt: "asyncio.Future[Receipt]") -> None:
        self._open.discard(receipt)
        if not receipt.cancelled():
            receipt.exception()  # seen, even if its publisher has given up waiting


def again(error: Exception) -> Exception:
    """The same error for another waiter, as one exception must not be raised in several tasks."""
    told = copy(error)
    told.__cause__ = error
    return told


def microseconds(moment: datetime) -> int:
    """Since 1970, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def too_large(register: RegisterName, size: int) -> StateInvalid:
    return StateInvalid(
        f"{register}: the event has {size} bytes; expected at most {MAX_EVENT_BYTES}: shorten its lists"
    )


def _final(error: Exception, topic: TopicName) -> Exception:
    if not isinstance(error, BusError):
        return error
    told = type(error)(f"{error}; this publisher sends nothing more to {topic}: open a new one")
    told.__cause__ = error
    return told


def _refuse(draft: Draft, error: Exception) -> None:
    if not draft.receipt.done():
        draft.receipt.set_exception(again(error))
