"""The relay: rows of the outbox to the register's topic, in order, each once.

1. Take the shard's lease, or stand by until its owner leaves or is silent for too long.
2. Fence: whoever sent under this id before can append nothing any more.
3. Read what the topic holds after the last marked rows: what was sent and not marked is only marked now.
4. Read rows, send them in one Kafka transaction, mark them; the next ones are read meanwhile.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from uuid import uuid4

import structlog
from sqlalchemy import Engine

from bus import metrics
from bus.catalog import load_catalog
from bus.crashpoints import crash_point
from bus.errors import BusError, DatabaseUnavailable, Fenced
from producers.outage import Outage
from producers.outbox.database import engine_for, told_plainly
from producers.outbox.relay.destination import Destination, find_destination
from producers.outbox.relay.holding import holding
from producers.outbox.relay.lease import Held, Lease
from producers.outbox.relay.pipeline import Pipeline
from producers.outbox.relay.postgres import PostgresSource
from producers.outbox.relay.settings import RelaySettings
from producers.outbox.relay.source import PlainSource, Share, Source, waiting
from producers.outbox.relay.turn import Turn
from producers.outbox.relay.upkeep import COUNT_SECONDS, Upkeep, gauge
from producers.outbox.rows import kind
from producers.outbox.table import tables

log = structlog.get_logger(__name__)

TAKEN_OVER = "a later relay has taken over this shard; this one stops and sends nothing more"


class Relay:
    """Runs in a thread of its own until ``stop``; after an outage it begins anew, from the lease on.

    Raises Fenced when a later relay has taken over; ClusterMismatch, ConfigInvalid and other InputRefused when it
    cannot work at all as it is told.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._catalog = load_catalog(settings.catalog, prefix=settings.prefix)
        self._agency = self._catalog.agency(settings.agency)
        self._register = self._catalog.register(settings.register_name)
        self._topic = self._register.topic(self._agency)
        self._engine: Engine = engine_for(settings.url.get_secret_value())
        self._owner = str(uuid4())
        self._stop = threading.Event()
        told = {"register": self._register.name, "agency": self._agency}
        self._outage = Outage("outbox_relay", told, self._stop)
        self._source: Source | None = None
        self._counted = float("-inf")
        self._state = "starting"

    @property
    def unready(self) -> str | None:
        """Why it does not send; None while it does."""
        return None if self._state == "sending" else self._state

    def stop(self) -> None:
        """Finish the transaction under way, mark it, leave. May be called from a signal handler, and twice."""
        self._stop.set()
        if self._source is not None:
            self._source.wake()

    def run(self, *, until_empty: bool = False) -> None:
        """Relay until stopped; with ``until_empty``, until no row waits."""
        try:
            self._run(until_empty=until_empty)
        finally:
            self._engine.dispose()
            self._state = "stopped"

    def _run(self, *, until_empty: bool) -> None:
        while not self._stop.is_set():
            try:
                self._lead(until_empty=until_empty)
                if until_empty:
                    return
            except BusError as error:
                if until_empty or not error.retriable:
                    raise
                self._state = error.reason
                self._count()
                self._outage.wait(error)
            finally:
                metrics.outbox_leading.labels(self._register.name).set(0)

    def _lead(self, *, until_empty: bool) -> None:
        destination = asyncio.run(find_destination(self._settings, self._catalog))
        turn = self._turn()
        self._state = "standing by"
        with turn.taken(self._stop) as held:
            if held is not None:
                crash_point("outbox.taken")
                self._send(destination, turn, held, until_empty=until_empty)

    def _turn(self) -> Turn:
        settings, aggregate = self._settings, kind(self._register, self._agency)
        shard, shards, seconds = settings.shard, settings.shards, settings.lease_seconds
        lease = Lease(self._engine, aggregate, shard, shards, seconds, self._owner)
        return Turn(lease, "outbox", TAKEN_OVER, self._count)

    def _count(self) -> None:
        """Now and then, while nothing is sent from here; not where the database is what is away."""
        if time.monotonic() - self._counted < COUNT_SECONDS:
            return
        self._counted = time.monotonic()
        with suppress(DatabaseUnavailable):
            gauge(self._register.name, waiting(self._engine, tables(self._engine.dialect.name), self._share()))

    def _share(self) -> Share:
        settings = self._settings
        aggregate = kind(self._register, self._agency)
        return Share(aggregate, settings.shard, settings.shards, settings.transaction_rows, settings.transaction_bytes)

    def _send(self, destination: Destination, turn: Turn, held: Held, *, until_empty: bool) -> None:
        settings = self._settings
        with ExitStack() as stack:
            source = stack.enter_context(self._opened())
            sender = stack.enter_context(turn.sending(held, self._topic, settings))
            self._tell("outbox_relay_took_over", shard=settings.shard, shards=settings.shards)
            ends = self._synchronise(destination, turn.lease, source, held)
            crash_point("outbox.synchronised")
            self._state = "sending"
            self._outage.over()
            metrics.outbox_leading.labels(self._register.name).set(1)
            encoder = destination.encoder(destination.translator(self._engine))
            upkeep = Upkeep(self._engine, settings, self._catalog, destination, source)
            pipeline = Pipeline(settings, destination, turn, source, encoder, sender, upkeep, ends)
            pipeline.run(self._stop, until_empty=until_empty)

    @contextmanager
    def _opened(self) -> Iterator[Source]:
        made = PostgresSource if self._engine.dialect.name == "postgresql" else PlainSource
        source = self._source = made(self._engine, self._share())
        try:
            yield source
        finally:
            self._source = None
            source.close()

    def _synchronise(self, destination: Destination, lease: Lease, source: Source, held: Held) -> dict[int, int]:
        """Mark what was sent and not marked; where the topic ended, from where on the next relay has to look."""
        same = held.topic_id == destination.facts.topic_id
        since = held.positions if same or held.positions is None else {}
        found = asyncio.run(holding(self._settings.kafka, self._topic, destination.facts.partitions, since))
        with told_plainly(self._engine), lease.transaction() as connection:
            if not lease.remember(connection, destination.facts.topic_id, found.ends):
                raise Fenced(TAKEN_OVER)
            marked = source.mark_known(connection, found.known)
        if marked:
            self._tell("outbox_sent_rows_marked", rows=marked)
        return dict(found.ends)

    def _tell(self, event: str, **told: object) -> None:
        log.info(event, register=self._register.name, agency=self._agency, **told)
