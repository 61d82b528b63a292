"""The forwarder: copies parked events to the dead-letter topic, at least once, and keeps the gauges of what is parked.

A record's key is the event's origin, so that a copy made twice, or by two replicas, is one after compaction, and known
to a reader before. Its value is the original bytes. Who is meant stands in neither key nor headers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import ParamSpec, Protocol, TypeVar

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from confluent_kafka.admin import AdminClient

from bus import kafka, metrics
from bus.crashpoints import crash_point
from bus.errors import BusError, ClusterMismatch, Unavailable
from bus.names import AgencyCode, RegisterName, TopicName
from bus.settings import KafkaSettings
from bus.topics import describe
from consumers.parked.lot import ParkingLot
from consumers.stores.base import Desk
from consumers.stores.model import Origin, Parked

log = structlog.get_logger(__name__)

PAGE = 100  # events at a time: a hundred megabytes at the most
GATHER_SECONDS = 0.5  # a fill with poison in every batch is not followed batch by batch
LOOK_SECONDS = 2.0  # how often what waits is looked for; what is parked here and now is told
CENSUS_SECONDS = 30.0  # how soon the gauges know what others have replayed or dismissed
STOP_SECONDS = 2.0
TOO_LARGE_SECONDS = 60.0  # how often those are tried again that the topic has refused one by one
MAX_REQUEST_BYTES = 2 * 1024 * 1024  # an event as large as topics take, and the headers

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Ask(Protocol):
    """How a blocking desk is asked: in a thread."""

    def __call__(
        self, work: Callable[Given, Answer], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Awaitable[Answer]: ...


class Forwarder:
    """Events are marked once Kafka has acknowledged them: killed in between, the next one sends them again."""

    def __init__(self, desk: Desk, ask: Ask, settings: KafkaSettings, topic: TopicName, agency: AgencyCode) -> None:
        self._desk, self._ask, self._settings = desk, ask, settings
        self._topic, self._agency = topic, agency
        self._admin: AdminClient | None = None
        self._counted: set[tuple[RegisterName, str]] = set()
        self._too_large: set[Origin] = set()
        self._again_at = float("-inf")
        """When those are tried again, in monotonic seconds."""

    async def run(self, lot: ParkingLot) -> None:
        """Forward what comes until cancelled; while it cannot, the lot is told why."""
        counted_at = float("-inf")
        while True:
            arrived = lot.arrived.is_set()
            lot.arrived.clear()
            sent = await self.attempt(lot)
            if arrived or sent or time.monotonic() - counted_at > CENSUS_SECONDS:
                counted_at = time.monotonic()
                with suppress(Unavailable):
                    await self.count()
            await asyncio.sleep(GATHER_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(lot.arrived.wait(), LOOK_SECONDS)

    async def attempt(self, lot: ParkingLot) -> int:
        """Forward what waits; what hinders it is told, once, and events wait on."""
        try:
            sent = await self.forward()
        except BusError as error:
            if lot.trouble != str(error):
                log.warning("forwarding_interrupted", reason=error.reason, error=str(error))
            lot.trouble = str(error)
            return 0
        if lot.trouble and not self._too_large:
            log.info("forwarding_resumed", topic=self._topic)
        lot.trouble = self._refusing()
        return sent

    def _refusing(self) -> str:
        if not self._too_large:
            return ""
        return (
            f"{self._topic} takes {len(self._too_large):,} of them not: too large for its max.message.bytes; set it "
            "with: lienthong topics apply"
        )

    async def forward(self) -> int:
        """Forward everything that waits; gives how many were acknowledged.

        Raises ClusterMismatch when there is no such topic, BrokerUnavailable when it takes nothing.
        """
        if time.monotonic() >= self._again_at:
            self._again_at = time.monotonic() + TOO_LARGE_SECONDS
            self._too_large.clear()
        if await self._ask(self._desk.waiting) == len(self._too_large):
            return 0
        waiting = await self._waiting()
        if not waiting:
            return 0
        await self._check_topic()
        sent = 0
        async with kafka.producer(
            self._settings, stop_seconds=STOP_SECONDS, max_request_size=MAX_REQUEST_BYTES
        ) as producer:
            while waiting:
                sent += await self._send(producer, waiting)
                waiting = await self._waiting(after=waiting[-1].origin)
        return sent

    async def _waiting(self, after: Origin | None = None) -> Sequence[Parked]:
        """The next page of those that wait, without what the topic has just refused by itself."""
        while page := await self._ask(self._desk.parked, limit=PAGE, waiting=True, after=after):
            after = page[-1].origin
            if left := [each for each in page if each.origin not in self._too_large]:
                return left
        return []

    async def _check_topic(self) -> None:
        self._admin = self._admin or kafka.admin(self._settings)
        facts = await describe(self._admin, [self._topic])
        if facts[self._topic].missing:
            raise ClusterMismatch(f"no topic {self._topic}; make it with: lienthong topics apply")

    async def _send(self, producer: AIOKafkaProducer, waiting: Sequence[Parked]) -> int:
        results = await asyncio.gather(*(self._send_one(producer, each) for each in waiting), return_exceptions=True)
        taken = [each for each, result in zip(waiting, results, strict=True) if result is None]
        crash_point("parked.forwarded")
        await self._ask(self._desk.mark_forwarded, [each.origin for each in taken])
        for each in taken:
            metrics.forwarded.labels(each.register, each.reason).inc()
        for each, result in zip(waiting, results, strict=True):
            self._refused(each.origin, result)
        return len(taken)

    async def _send_one(self, producer: AIOKafkaProducer, event: Parked) -> None:
        headers = dead_letter_headers(event, self._agency)
        await producer.send_and_wait(self._topic, event.value, str(event.origin).encode(), headers=headers)

    def _refused(self, origin: Origin, result: BaseException | None) -> None:
        """One that is too large waits on by itself; anything else concerns them all."""
        if isinstance(result, MessageSizeTooLargeError):
            self._too_large.add(origin)
            log.warning("dead_letter_refused", origin=str(origin), why="too large for the topic's max.message.bytes")
        elif result is not None:
            with kafka.told_plainly(self._settings):
                raise result

    async def count(self) -> None:
        """Set the gauges to what the database holds."""
        counts = await self._ask(self._desk.parked_counts)
        found = {(each.register, each.reason): each for each in counts}
        for kind in self._counted | found.keys():
            each = found.get(kind)
            metrics.parked.labels(*kind).set(each.events if each else 0)
            metrics.parked_waiting.labels(*kind).set(each.waiting if each else 0)
        self._counted |= found.keys()


def dead_letter_headers(event: Parked, agency: AgencyCode) -> list[tuple[str, bytes]]:
    """Why, from where, and whose replica could not apply it; nothing of the event's own."""
    told = {
        "reason": event.reason,
        "register": event.register,
        "topic": event.topic,
        "topic-id": event.topic_id,
        "partition": event.partition,
        "offset": event.offset,
        "agency": agency,
    }
    return [(f"lienthong-{name}", str(value).encode()) for name, value in told.items()]
