"""The relay: rows of the outbox to the register's topic, in order, each once.

1. Take the shard's lease, or stand by until its owner leaves or is silent for too long.
2. Fence: whoever sent under this id before can append nothing any more.
3. Read what the topic holds after the last marked rows: what was sent and not marked is only marked now.
4. Read rows, send them in one Kafka transaction, mark them; the next ones are read meanwhile.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog
from sqlalchemy import Engine

from bus import metrics
from bus.catalog import Register, load_catalog
from bus.codes import Codebook, open_codes
from bus.crashpoints import crash_point
from bus.errors import BusError, Fenced, InputRefused
from bus.names import AgencyCode, TopicName
from bus.registry import open_registry
from bus.topics.facts import TopicFacts
from producers.capture.table import stored_mappings
from producers.capture.translation import Translator
from producers.marking import Marking
from producers.outage import Outage
from producers.outbox.database import engine_for, told_plainly
from producers.outbox.relay.encoding import Batch, RowEncoder
from producers.outbox.relay.holding import holding
from producers.outbox.relay.lease import Held, Lease, Positions
from producers.outbox.relay.postgres import PostgresSource
from producers.outbox.relay.row import Row
from producers.outbox.relay.sender import Sender
from producers.outbox.relay.settings import RelaySettings
from producers.outbox.relay.source import Marks, PlainSource, Share, Source
from producers.outbox.relay.strays import REMEDY, Strays, find_strays, kinds
from producers.outbox.rows import kind
from producers.release import Release, newest_release
from producers.topic import own_topic

log = structlog.get_logger(__name__)

TAKEN_OVER = "a later relay has taken over this shard; this one stops and sends nothing more"
BEATS_PER_LEASE = 4
STANDBY_SECONDS = 0.5
COUNT_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 60.0
IDLE_TIMES = 10  # where the database wakes us, looking unasked is only for what escaped its trigger


@dataclass(frozen=True, slots=True)
class Way:
    """Where the rows go."""

    register: Register
    agency: AgencyCode
    topic: TopicName
    facts: TopicFacts
    release: Release
    codes: Codebook
    """By which captured rows are cleaned; the release's rules go by the same."""


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
            except (Fenced, InputRefused):
                raise
            except BusError as error:
                if until_empty or not error.retriable:
                    raise
                self._state = error.reason
                self._outage.wait(error)
            finally:
                metrics.outbox_leading.labels(self._register.name).set(0)

    def _lead(self, *, until_empty: bool) -> None:
        settings = self._settings
        way = asyncio.run(self._find_way())
        lease = Lease(
            self._engine,
            kind(self._register, self._agency),
            settings.shard,
            settings.shards,
            settings.lease_seconds,
            self._owner,
        )
        with ExitStack() as stack:
            held = self._stand_by(lease)
            if held is None:
                return
            stack.callback(self._leave, lease)
            crash_point("outbox.taken")
            source = stack.enter_context(self._opened())
            lost = stack.enter_context(self._beating(lease))
            sender = self._fence(lease, held, stack)
            self._tell("outbox_relay_took_over", shard=settings.shard, shards=settings.shards)
            ends = self._synchronise(way, lease, source, held)
            crash_point("outbox.synchronised")
            self._state = "sending"
            self._outage.over()
            metrics.outbox_leading.labels(self._register.name).set(1)
            _Work(self, way, lease, source, sender, lost, ends).run(self._stop, until_empty=until_empty)

    async def _find_way(self) -> Way:
        settings = self._settings
        facts = await own_topic(settings.kafka, self._register, self._topic)
        async with open_registry(settings.registry, settings.kafka) as registry:
            codes = await open_codes(settings, self._catalog, registry)
            release = await newest_release(self._register, registry, settings.schemas, codes.rules)
        return Way(self._register, self._agency, self._topic, facts, release, codes)

    def _stand_by(self, lease: Lease) -> Held | None:
        """None when stopped meanwhile."""
        self._state = "standing by"
        while not self._stop.is_set():
            with told_plainly(self._engine):
                held = lease.take() or lease.take()  # the first relay of all makes the row, then takes it
            if held is not None:
                return held
            self._stop.wait(min(STANDBY_SECONDS, lease.seconds / BEATS_PER_LEASE))
        return None

    def _leave(self, lease: Lease) -> None:
        try:
            with told_plainly(self._engine):
                lease.leave()
        except BusError as error:  # another one has to wait out the lease; the outage itself is told once
            log.debug("outbox_lease_not_left", reason=error.reason)

    @contextmanager
    def _opened(self) -> Iterator[Source]:
        settings = self._settings
        aggregate = kind(self._register, self._agency)
        share = Share(aggregate, settings.shard, settings.shards, settings.transaction_rows, settings.transaction_bytes)
        made = PostgresSource if self._engine.dialect.name == "postgresql" else PlainSource
        source = self._source = made(self._engine, share)
        try:
            yield source
        finally:
            self._source = None
            source.close()

    @contextmanager
    def _beating(self, lease: Lease) -> Iterator[threading.Event]:
        """Touch the lease beside the work; the event is set when another one owns it."""
        over, lost = threading.Event(), threading.Event()

        def beat() -> None:
            while not over.wait(lease.seconds / BEATS_PER_LEASE):
                try:
                    with told_plainly(self._engine):
                        if not lease.beat():
                            lost.set()
                            return
                except BusError as error:
                    log.debug("outbox_lease_not_touched", reason=error.reason)

        thread = threading.Thread(target=beat, name="outbox lease", daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            over.set()
            thread.join()

    def _fence(self, lease: Lease, held: Held, stack: ExitStack) -> Sender:
        """End what was sent before us, under all ids of an earlier division too.

        The lease is looked at before, so that one who was frozen here does not end its successor, and after: whoever
        takes it later fences later, too.
        """
        settings = self._settings
        self._must_own(lease)
        senders = [
            Sender(settings.kafka, self._topic, shard, settings.compression)
            for shard in (*(each for each in held.fence if each != settings.shard), settings.shard)
        ]
        for sender in senders:
            stack.callback(sender.close)
            sender.fence()
        self._must_own(lease)
        return senders[-1]

    def _must_own(self, lease: Lease) -> None:
        with told_plainly(self._engine):
            if not lease.beat():
                raise Fenced(TAKEN_OVER)

    def _synchronise(self, way: Way, lease: Lease, source: Source, held: Held) -> Positions:
        """Mark what was sent and not marked; where the topic ended, from where on the next relay has to look."""
        same = held.topic_id == way.facts.topic_id
        since = held.positions if same or held.positions is None else {}
        found = asyncio.run(holding(self._settings.kafka, way.topic, way.facts.partitions, since))
        with told_plainly(self._engine), lease.transaction() as connection:
            marked = source.mark_known(connection, found.known)
            lease.remember(connection, way.facts.topic_id, found.ends)
        if marked:
            self._tell("outbox_sent_rows_marked", rows=marked)
        return found.ends

    def _tell(self, event: str, **told: object) -> None:
        log.info(event, register=self._register.name, agency=self._agency, **told)


class _Work:
    """Reads ahead, sends, and marks behind: three threads, one transaction in each at most."""

    def __init__(
        self,
        relay: Relay,
        way: Way,
        lease: Lease,
        source: Source,
        sender: Sender,
        lost: threading.Event,
        positions: Positions,
    ) -> None:
        self._relay = relay
        self._engine = relay._engine  # noqa: SLF001
        self._settings = relay._settings  # noqa: SLF001
        self._way = way
        self._lease = lease
        self._source = source
        self._sender = sender
        self._lost = lost
        mappings = stored_mappings(relay._engine, way.release.schema, way.codes.lists)  # noqa: SLF001
        translator = Translator(way.register, way.agency, way.release, mappings)
        self._encoder = RowEncoder(way.register, way.agency, way.release, translator)
        self._positions = dict(positions)
        self._counted = self._cleaned = 0.0
        self._kinds, self._strays = kinds(relay._catalog), Strays()  # noqa: SLF001
        self._marking = Marking(self._settings.kafka, way.topic, way.facts.partitions)

    def run(self, stop: threading.Event, *, until_empty: bool) -> None:
        self._tell_strays()
        idle = self._settings.poll_seconds * (IDLE_TIMES if isinstance(self._source, PostgresSource) else 1)
        with ThreadPoolExecutor(1, "outbox read") as reading, ThreadPoolExecutor(1, "outbox mark") as marking:
            while not stop.is_set():
                sent = self._sweep(reading, marking, stop)
                self._count()
                if self._settings.shard == 0:
                    self._marking.write_if_due()
                if sent:
                    continue
                if until_empty and not self._source.waiting().unsent:
                    return
                self._clean()
                self._source.wait(idle)
                if self._lost.is_set():
                    raise Fenced(TAKEN_OVER)

    def _sweep(self, reading: ThreadPoolExecutor, marking: ThreadPoolExecutor, stop: threading.Event) -> bool:
        """Send all that one look finds; whether there was something."""
        chunks = self._source.sweep()
        marked: Future[None] = Future()
        marked.set_result(None)
        rows = next(chunks, None)
        some = rows is not None
        while rows and not stop.is_set() and not self._lost.is_set():
            if len(rows) < self._settings.transaction_rows:  # a change of threads costs a lone event more than it gains
                sent = self._sent(rows)
                marked.result()  # positions speak for all rows before them, so that marks are made one after another
                self._mark(*sent)
                rows = next(chunks, None)
                continue
            ahead = reading.submit(next, chunks, None)
            try:
                sent = self._sent(rows)
                marked.result()
                marked = marking.submit(self._mark, *sent)
            finally:
                rows = ahead.result()
        chunks.close()
        marked.result()
        return some

    def _sent(self, rows: Sequence[Row]) -> tuple[Batch, Positions]:
        batch = self._encoder.encode(rows)
        if not batch.records:
            return batch, {}
        began = time.perf_counter()
        positions = self._sender.send(batch.records)
        metrics.outbox_seconds.labels(self._way.register.name).observe(time.perf_counter() - began)
        for op, count in Counter(batch.ops).items():
            metrics.published.labels(self._way.register.name, self._way.agency, op).inc(count)
        return batch, positions

    def _mark(self, batch: Batch, positions: Positions) -> None:
        """In one transaction with the positions, below which everything is marked by then."""
        self._positions |= positions
        parked = [(seq, reason) for seq, _event_id, reason in batch.parked]
        with told_plainly(self._engine), self._lease.transaction() as connection:
            self._source.mark(connection, Marks(batch.done, parked), delete=not self._settings.keep)
            self._lease.remember(connection, self._way.facts.topic_id, self._positions)
        crash_point("outbox.marked")
        for _seq, event_id, reason in batch.parked:
            metrics.refused.labels(self._way.register.name, self._way.agency, "outbox_row").inc()
            log.warning("outbox_row_parked", register=self._way.register.name, id=event_id, reason=reason)

    def _count(self) -> None:
        if time.monotonic() - self._counted < COUNT_SECONDS:
            return
        found, name = self._source.waiting(), self._way.register.name
        metrics.outbox_unsent.labels(name).set(found.unsent)
        metrics.outbox_oldest.labels(name).set(found.oldest_seconds)
        metrics.outbox_parked.labels(name).set(found.parked)
        self._counted = time.monotonic()

    def _clean(self) -> None:
        if time.monotonic() - self._cleaned >= HOUSEKEEPING_SECONDS:
            self._source.housekeeping(self._settings.keep)
            self._tell_strays()
            self._cleaned = time.monotonic()

    def _tell_strays(self) -> None:
        """Each relay of an outbox sees them, and says so where they have become others."""
        found = find_strays(self._engine, self._kinds)
        metrics.outbox_strays.labels(self._way.agency).set(found.rows)
        if found.rows and found != self._strays:
            log.warning("outbox_rows_strayed", rows=found.rows, first_id=found.first_id, remedy=REMEDY)
        self._strays = found
