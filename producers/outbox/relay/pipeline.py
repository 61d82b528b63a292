"""Rows on their way: read ahead, sent, and marked behind, in three threads with one transaction in each at most."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from bus import metrics
from bus.crashpoints import crash_point
from bus.errors import Fenced
from producers.outbox.database import told_plainly
from producers.outbox.relay.destination import Destination
from producers.outbox.relay.encoding import Batch, RowEncoder
from producers.outbox.relay.lease import Positions
from producers.outbox.relay.postgres import PostgresSource
from producers.outbox.relay.row import Row
from producers.outbox.relay.sender import Sender
from producers.outbox.relay.settings import RelaySettings
from producers.outbox.relay.source import Marks, Source
from producers.outbox.relay.turn import Turn
from producers.outbox.relay.upkeep import Upkeep

log = structlog.get_logger(__name__)

IDLE_TIMES = 10  # where the database wakes us, looking unasked is only for what escaped its trigger


@dataclass(slots=True)
class Pipeline:
    """From the outbox to the topic, as long as the turn is ours."""

    settings: RelaySettings
    destination: Destination
    turn: Turn
    source: Source
    encoder: RowEncoder
    sender: Sender
    upkeep: Upkeep
    positions: dict[int, int]
    """Below which everything in the topic is marked."""

    def run(self, stop: threading.Event, *, until_empty: bool) -> None:
        """Until stopped; with ``until_empty``, until no row waits. Raises Fenced, and what is away."""
        self.upkeep.tell_strays()
        idle = self.settings.poll_seconds * (IDLE_TIMES if isinstance(self.source, PostgresSource) else 1)
        with ThreadPoolExecutor(1, "outbox read") as reading, ThreadPoolExecutor(1, "outbox mark") as marking:
            while not stop.is_set():
                sent = self._sweep(reading, marking, stop)
                self.turn.check()
                self.upkeep.after_sweep()
                if sent:
                    continue
                if until_empty and not self.source.waiting().unsent:
                    return
                self.upkeep.while_idle()
                self.source.wait(idle)
                self.turn.check()

    def _sweep(self, reading: ThreadPoolExecutor, marking: ThreadPoolExecutor, stop: threading.Event) -> bool:
        """Send all that one look finds; whether there was something."""
        chunks = self.source.sweep()
        marked: Future[None] = Future()
        marked.set_result(None)
        rows = next(chunks, None)
        some = rows is not None
        while rows and not stop.is_set() and not self.turn.is_lost:
            if len(rows) < self.settings.transaction_rows:  # a change of threads costs a lone event more than it gains
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
        batch = self.encoder.encode(rows)
        if not batch.records:
            return batch, {}
        began, register = time.perf_counter(), self.destination.register.name
        positions = self.sender.send(batch.records)
        metrics.outbox_seconds.labels(register).observe(time.perf_counter() - began)
        for op, count in Counter(batch.ops).items():
            metrics.published.labels(register, self.destination.agency, op).inc(count)
        return batch, positions

    def _mark(self, batch: Batch, positions: Positions) -> None:
        """In one transaction with the positions, below which everything is marked by then.

        Raises Fenced where another one owns the shard: what it has marked since may be gone, its numbers given anew.
        """
        self.positions |= positions
        lease, parked = self.turn.lease, [(seq, reason) for seq, _event_id, reason in batch.parked]
        with told_plainly(lease.engine), lease.transaction() as connection:
            if not lease.remember(connection, self.destination.facts.topic_id, self.positions):
                raise Fenced(self.turn.taken_over)
            self.source.mark(connection, Marks(batch.done, parked), delete=not self.settings.keep)
        crash_point("outbox.marked")
        for _seq, event_id, reason in batch.parked:
            metrics.refused.labels(self.destination.register.name, self.destination.agency, "outbox_row").inc()
            log.warning("outbox_row_parked", register=self.destination.register.name, id=event_id, reason=reason)
