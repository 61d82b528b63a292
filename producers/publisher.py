"""The SDK: publish one register's events from a program, each acknowledged by Kafka before the call returns."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from aiokafka import AIOKafkaProducer

from bus import kafka, metrics
from bus.catalog import Register, load_catalog
from bus.codes import open_codes
from bus.errors import BrokerUnavailable, StateInvalid
from bus.event import Op
from bus.names import RegisterName
from bus.registry import open_registry
from bus.registry.base import SchemaRegistry
from bus.schema.rules import Refusal
from producers.admission import State, key_refusals, plain, refuse, state_refusals
from producers.lane import Clock, Draft, Lane, Receipt, Way
from producers.marking import Marking
from producers.release import newest_release
from producers.settings import PublisherSettings
from producers.tail import Tail
from producers.topic import own_topic
from producers.transaction import transactional_id

LEAVE_SECONDS = 1  # the lanes have drained before, or their deadline has passed


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Opened:
    way: Way
    lane: Lane


class Publisher:
    """Publishes the registers that one agency writes.

    For a register's single long-lived writer. With ``exclusive`` a second one that is started ends the first, which
    raises Fenced from then on. Calls may run concurrently: per key, they take effect in the order in which they were
    made.

    Raises RegisterUnknown, NotTheWriter, StateInvalid before anything is sent; ClusterMismatch when a topic is
    missing, has another partition count, or its schema is not released; BrokerUnavailable when Kafka does not
    acknowledge in time. What was not acknowledged may still have arrived; publishing it again is safe.
    """

    def __init__(self, settings: PublisherSettings, now: Clock = utc_now) -> None:
        self._settings = settings
        self._now = now
        self._catalog = load_catalog(settings.catalog, prefix=settings.prefix)
        self._agency = self._catalog.agency(settings.agency)
        self._held = AsyncExitStack()
        self._registry: SchemaRegistry | None = None
        self._shared: AIOKafkaProducer | None = None
        self._opened: dict[RegisterName, Opened] = {}
        self._opening = asyncio.Lock()
        self._marking: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            self._registry = await self._held.enter_async_context(
                open_registry(self._settings.registry, self._settings.kafka)
            )
            for register in self._settings.registers:
                await self._open(register)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is queued, then leave, all within ``drain_seconds``. Closing twice does nothing."""
        opened, self._opened, self._registry = self._opened, {}, None
        for task in self._marking:
            task.cancel()
        await asyncio.gather(*(each.lane.close(self._settings.drain_seconds) for each in opened.values()))
        await self._held.aclose()

    async def publish(
        self, register: str, state: State, *, occurred_at: datetime | None = None, traceparent: str | None = None
    ) -> Receipt:
        """Send one subject's full state and wait until Kafka has it. ``traceparent`` is W3C's, of the source's work."""
        return (await self.publish_many(register, [state], occurred_at=occurred_at, traceparent=traceparent))[0]

    async def publish_many(
        self,
        register: str,
        states: Iterable[State],
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> list[Receipt]:
        """Send many, in order, many in flight. One that is refused keeps all of them from being sent."""
        opened = await self._open(register)
        given = [plain(state) for state in states]
        for number, state in enumerate(given):
            found = state_refusals(opened.way.register, opened.way.release.schema, self._agency, state)
            self._refuse(opened.way.register, found, f"[{number}]" if len(given) > 1 else "")
        key = opened.way.register.key_field
        when = _zoned(occurred_at)
        drafts = [
            Draft(op=Op.UPSERT, key=state[key], state=state, occurred_at=when, traceparent=traceparent)
            for state in given
        ]
        return await self._send(opened.lane, drafts)

    async def delete(
        self, register: str, key: str, *, occurred_at: datetime | None = None, traceparent: str | None = None
    ) -> Receipt:
        """Send the delete and its tombstone. The key is gone from every replica, and stays so until published again."""
        opened = await self._open(register)
        self._check_keys(opened.way, key)
        draft = Draft(op=Op.DELETE, key=key, occurred_at=_zoned(occurred_at), traceparent=traceparent)
        return (await self._send(opened.lane, [draft]))[0]

    async def merge(
        self,
        register: str,
        key: str,
        replaced_by: str,
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """Say that ``key`` was another name of ``replaced_by``, which lives on."""
        opened = await self._open(register)
        self._check_keys(opened.way, key, replaced_by)
        if key == replaced_by:
            same = Refusal("replaced_by", "differs", "another key than the one that is merged into it")
            self._refuse(opened.way.register, [same])
        draft = Draft(
            op=Op.MERGE, key=key, replaced_by=replaced_by, occurred_at=_zoned(occurred_at), traceparent=traceparent
        )
        return (await self._send(opened.lane, [draft]))[0]

    async def _send(self, lane: Lane, drafts: Sequence[Draft]) -> list[Receipt]:
        try:
            async with asyncio.timeout(self._settings.ack_seconds):
                for draft in drafts:
                    await lane.put(draft)
                return await asyncio.gather(*(draft.receipt for draft in drafts))
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"Kafka at {self._settings.kafka.bootstrap_servers}: no acknowledgement within "
                f"{self._settings.ack_seconds:g} s; it may still arrive, and publishing again is safe"
            ) from error
        finally:
            for draft in drafts:
                draft.receipt.cancel()

    def _check_keys(self, way: Way, *keys: str) -> None:
        for key in keys:
            self._refuse(way.register, key_refusals(way.register, way.release.schema, self._agency, key))

    def _refuse(self, register: Register, found: Sequence[Refusal], at: str = "") -> None:
        for each in found:
            metrics.refused.labels(register.name, self._agency, each.rule).inc()
        refuse(register, found, at)

    async def _open(self, name: str) -> Opened:
        register = self._catalog.register(name)
        async with self._opening:
            if self._registry is None:
                raise BrokerUnavailable(f"{name}: this publisher is closed or was never opened; use it in `async with`")
            if register.name not in self._opened:
                self._opened[register.name] = await self._new(register, self._registry)
            return self._opened[register.name]

    async def _new(self, register: Register, registry: SchemaRegistry) -> Opened:
        topic = register.topic(self._agency)
        await own_topic(self._settings.kafka, register, topic)
        codes = await open_codes(self._settings, self._catalog, registry, self._now())
        release = await newest_release(register, registry, self._settings.schemas, codes.rules)
        client = await self._client(topic)
        # After the client: whoever it fenced can append nothing to what is read now.
        high_water = await Tail(self._settings.kafka, registry, register.name).high_water(topic, register.partitions)
        way = Way(register, self._agency, topic, release, high_water)
        marking = Marking(self._settings.kafka, topic, register.partitions)
        self._marking.append(asyncio.create_task(marking.keep(), name=f"markers {topic}"))
        return Opened(way, Lane(way, client, self._settings.kafka, self._now, exclusive=self._settings.exclusive))

    async def _client(self, topic: str) -> AIOKafkaProducer:
        """One client for all registers; a transactional one for each where it is to be exclusive."""
        if self._settings.exclusive:
            return await self._held.enter_async_context(self._producer(transactional_id=transactional_id(topic)))
        if self._shared is None:
            self._shared = await self._held.enter_async_context(self._producer())
        return self._shared

    def _producer(self, **options: str) -> AbstractAsyncContextManager[AIOKafkaProducer]:
        return kafka.producer(
            self._settings.kafka,
            stop_seconds=LEAVE_SECONDS,
            compression_type=self._settings.compression,
            **options,
        )


def _zoned(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.utcoffset() is None:
        raise StateInvalid("occurred_at: type: expected a point in time with its time zone")
    return moment
