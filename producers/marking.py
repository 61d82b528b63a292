"""Markers: a record with a reserved key that each partition gets every day.

A topic is compacted up to its last segment, and that one ends only when something is appended: without a marker, what
was deleted in a quiet partition would stay there. Markers need no order and no transaction, so that they go out beside
whatever an adapter sends, and one that fails disturbs nothing.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from bus import kafka
from bus.errors import BusError
from bus.event import MARKER_KEY
from bus.names import TopicName
from bus.settings import KafkaSettings

log = structlog.get_logger(__name__)

DAY = timedelta(days=1)
FIRST_SECONDS = 3600.0  # after its start: a program that is started for each event writes none
AGAIN_SECONDS = 3600.0  # after a failure


async def write_markers(settings: KafkaSettings, topic: TopicName, partitions: int) -> None:
    """One to each partition. Raises BrokerUnavailable."""
    async with kafka.producer(settings) as client:
        with kafka.told_plainly(settings):
            sent = [await client.send(topic, None, MARKER_KEY, partition=number) for number in range(partitions)]
            await asyncio.gather(*sent)


class Marking:
    """The daily markers of an adapter that runs for long. ``clock`` is in monotonic seconds."""

    def __init__(
        self, settings: KafkaSettings, topic: TopicName, partitions: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._topic, self._partitions, self._clock = settings, topic, partitions, clock
        self._due = clock() + FIRST_SECONDS

    def write_if_due(self) -> None:
        """For an adapter in a thread without an event loop. What cannot be written is tried again in an hour."""
        if self._clock() >= self._due:
            asyncio.run(self._write())

    async def keep(self) -> None:
        """Write them whenever they are due, until cancelled."""
        while True:
            await asyncio.sleep(max(self._due - self._clock(), 0))
            await self._write()

    async def _write(self) -> None:
        try:
            await write_markers(self._settings, self._topic, self._partitions)
        except BusError as error:
            log.warning("markers_not_written", topic=self._topic, reason=error.reason, error=str(error))
            self._due = self._clock() + AGAIN_SECONDS
        else:
            log.info("markers_written", topic=self._topic, partitions=self._partitions)
            self._due = self._clock() + DAY.total_seconds()
