"""Sharing: which of a replica's partitions this daemon reads. A daemon alone has them all.

Several daemons of one replica are members of a consumer group, which gives each partition to one of them. The group
only says who reads what. That nobody else writes is for the database to see to: whoever is given a partition claims it
there, and what a former owner still has under way is refused. Positions live in the database; none is committed to
Kafka.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from bus import kafka
from bus.errors import BrokerUnavailable
from bus.names import TopicName
from bus.settings import KafkaSettings
from consumers.route import Route
from consumers.stores.model import Partition

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 1.0  # how soon a member hears that the others wait for it to join anew
SETTLE_SECONDS = 5.0  # for commits under way when partitions move; later ones are refused by the database
REBALANCE_SECONDS = 30.0  # how long the others wait for a member that is alive and does not join
LISTEN_MS = 1000  # how often what the group cannot do is asked for


class Share:
    """Partitions that are this daemon's until ``revoked``; all there are when none is named."""

    def __init__(self, partitions: Iterable[Partition] | None = None) -> None:
        self._partitions = None if partitions is None else frozenset(partitions)
        self.revoked = asyncio.Event()
        self._users: list[Callable[[], None]] = []
        self._unused = asyncio.Event()
        self._unused.set()

    def of(self, route: Route) -> Route:
        """The route with this daemon's partitions alone."""
        if self._partitions is None:
            return route
        return replace(route, partitions=[at for at in route.partitions if at in self._partitions])

    def leads(self, route: Route) -> bool:
        """Whether this daemon fills the register: it has the first partition."""
        return self._partitions is None or route.partitions[0] in self._partitions

    @contextmanager
    def used(self, let_go: Callable[[], None]) -> Iterator[None]:
        """A block in which the partitions are read; ``let_go`` asks it to end, once they are revoked."""
        self._users.append(let_go)
        self._unused.clear()
        try:
            yield
        finally:
            self._users.remove(let_go)
            if not self._users:
                self._unused.set()

    async def revoke(self, seconds: float) -> bool:
        """Ask all users to let go; whether they have, within so many seconds."""
        self.revoked.set()
        for let_go in list(self._users):
            let_go()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._unused.wait(), seconds)
        return self._unused.is_set()


class Sharing(Protocol):
    """Where a daemon's share comes from."""

    share: Share | None
    """None while it has none."""

    @property
    def shared(self) -> bool:
        """Whether other daemons may hold partitions at the same time."""
        ...

    @property
    def waiting(self) -> str:
        """Why there is no share yet."""
        ...

    async def granted(self) -> None:
        """Return once there is a share."""
        ...

    async def run(self) -> None:
        """Keep the share up to date until cancelled. Raises BrokerUnavailable; nothing is shared then."""
        ...


class Alone:
    """All partitions, for as long as the daemon runs."""

    shared = False
    waiting = ""

    def __init__(self) -> None:
        self.share: Share | None = Share()

    async def granted(self) -> None:
        return

    async def run(self) -> None:
        return


class Group(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Membership of a consumer group. Its client fetches nothing: lanes have clients of their own.

    A member that is silent for ``session_seconds`` has lost its partitions to the others, and joins anew by itself.
    """

    shared = True

    def __init__(
        self, settings: KafkaSettings, name: str, topics: Iterable[TopicName], *, session_seconds: float
    ) -> None:
        self.name = name
        self.share: Share | None = None
        self._settings, self._topics, self._session_seconds = settings, sorted(topics), session_seconds
        self._trouble = ""
        self._assigned = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def waiting(self) -> str:
        return f"joining the group {self.name}{self._trouble and ': '}{self._trouble}"

    async def granted(self) -> None:
        await self._assigned.wait()

    async def run(self) -> None:
        try:
            async with kafka.consumer(
                self._settings,
                group_id=self.name,
                session_timeout_ms=round(self._session_seconds * 1000),
                heartbeat_interval_ms=round(min(HEARTBEAT_SECONDS, self._session_seconds / 3) * 1000),
                rebalance_timeout_ms=round(REBALANCE_SECONDS * 1000),
                auto_offset_reset="latest",  # of no effect, as all is paused; "none" would be an error
            ) as self._consumer:
                self._consumer.subscribe(self._topics, listener=self)
                with kafka.told_plainly(self._settings):
                    while True:
                        await self._consumer.getmany(timeout_ms=LISTEN_MS)
        except BrokerUnavailable as error:
            if self._trouble != str(error):
                log.warning("group_interrupted", group=self.name, error=str(error))
            self._trouble = str(error)
            raise
        finally:
            await self._revoke()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - all of them
        """Commit what is under way before the others are given it."""
        await self._revoke()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        assert self._consumer is not None  # noqa: S101 - who else would call
        self._consumer.pause(*assigned)
        self._trouble = ""
        self.share = Share(Partition(TopicName(each.topic), each.partition) for each in assigned)
        self._assigned.set()
        log.info("share_assigned", group=self.name, partitions=len(list(assigned)))

    async def _revoke(self) -> None:
        share, self.share = self.share, None
        self._assigned.clear()
        if share is not None and not await share.revoke(SETTLE_SECONDS):
            log.warning("share_unsettled", group=self.name, seconds=SETTLE_SECONDS)


async def first_of(*waits: Coroutine[Any, Any, object], seconds: float | None = None) -> None:
    """Return when one of these has, or when the seconds have passed."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
