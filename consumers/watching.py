"""Watching a register's topics beside its lanes: are they still the same, and how late is it there.

A replica that was away for longer than a topic keeps deletes may have missed some, and no error tells: a compacted
topic just starts later. It is known from the positions alone. Each says as of when nothing was missed, by the log's
time: this machine's clock, as far as the records bear it out.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from confluent_kafka.admin import AdminClient

from bus.catalog import Register
from bus.errors import BusError, ClusterMismatch, Unavailable
from bus.topics.current import current_topics, moved_on
from bus.topics.ends import End, find_ends
from consumers.route import Route
from consumers.stores.model import Partition, Position

log = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LogTime:
    """What time it is in the log, from both sides: every topic has a record a day, the marker, if not an event.

    ``kept`` is how long the topic keeps deletes. A clock that is wrong makes a replica rebuild too soon, never too
    late: told times are at most a twentieth of ``kept`` beyond what records bear out, and a tenth is left as a margin.
    """

    kept: timedelta
    newest: datetime | None
    """Of all the register's records; None where there are none."""

    def told(self, clock: datetime) -> datetime:
        """As of when nothing is missed, for a position that stands at the end of what there is."""
        return clock if self.newest is None else min(clock, self.newest + self.kept / 20)

    def too_old(self, positions: Mapping[Partition, Position], ends: Mapping[Partition, End], clock: datetime) -> bool:
        """Whether a delete after one of these positions may be gone by now. Nothing is, where nothing came after."""
        latest = clock if self.newest is None else max(clock, self.newest)
        return any(
            position.caught_up_at is not None
            and at in ends
            and position.next_offset < ends[at].offset
            and latest - position.caught_up_at > self.kept - self.kept / 10
            for at, position in positions.items()
        )


class Watch:
    """The last look at a register's topics, and what it found wrong."""

    def __init__(self, register: Register, admin: AdminClient) -> None:
        self._register, self._admin = register, admin
        self._kept = register.deletes_kept
        self._ends: Mapping[Partition, End] = {}
        self._trouble: BusError | None = None
        self.moved = ""
        """That the register goes on in another generation of its topics, which this catalogue does not know."""

    async def look(self, route: Route) -> None:
        """Raises ClusterMismatch when a topic is gone or another one, or has another partition count; Unavailable."""
        facts = await current_topics(self._admin, self._register, list(route.sources))
        for topic, source in route.sources.items():
            if facts[topic].topic_id != source.topic_id:
                raise ClusterMismatch(
                    f"{self._register.name}: topic {topic} has been deleted and made again while it was read (its id "
                    "differs); if it is to be read, run: lienthong replica rebuild",
                )
        found = await find_ends(self._admin, [(at.topic, at.partition) for at in _places(self._register, route)])
        self._ends = {Partition(*at): end for at, end in found.items()}
        self.moved = next((moved_on(self._register, topic) for topic, fact in facts.items() if fact.sealed), "")

    async def keep(self, route: Route, looked: Callable[[], None]) -> None:
        """Look again and again, and call ``looked`` after each; returns once something is wrong for good."""
        while self._trouble is None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                with suppress(Unavailable):
                    await self.look(route)
            except BusError as error:
                self._trouble = error
            looked()

    @property
    def wrong(self) -> bool:
        return self._trouble is not None

    def check(self) -> None:
        """Raise what a look has found wrong."""
        if self._trouble is not None:
            raise self._trouble

    def now(self) -> datetime:
        """As of when nothing is missed by who stands at the end."""
        return self._time().told(datetime.now(UTC))

    def too_old(self, positions: Mapping[Partition, Position]) -> bool:
        return self._time().too_old(positions, self._ends, datetime.now(UTC))

    def behind(self, positions: Mapping[Partition, Position]) -> int:
        """Offsets from these positions to the ends, as of the last look."""
        return sum(
            max(self._ends[at].offset - each.next_offset, 0) for at, each in positions.items() if at in self._ends
        )

    def has(self, at: Partition, offset: int) -> bool:
        """Whether the partition goes as far as this offset."""
        return at in self._ends and offset <= self._ends[at].offset

    def _time(self) -> LogTime:
        return LogTime(self._kept, max((end.newest for end in self._ends.values() if end.newest), default=None))


def _places(register: Register, route: Route) -> list[Partition]:
    """All partitions of the register, also those of other daemons."""
    return [Partition(topic, number) for topic in route.sources for number in range(register.partitions)]
