"""One at a time: a lease in the agency's database, held while somebody sends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

import structlog

from bus.errors import BusError, Fenced, Unavailable
from bus.names import TopicName
from producers.outbox.database import told_plainly
from producers.outbox.relay.lease import Held, Lease
from producers.outbox.relay.sender import Sender
from producers.outbox.relay.settings import TurnSettings

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 4
STANDBY_SECONDS = 0.5


@dataclass(slots=True)
class Turn:
    lease: Lease
    name: str
    """What the log's events begin with."""
    taken_over: str
    """What Fenced says."""
    meanwhile: Callable[[], None] = lambda: None
    """Done between two looks while another one has the turn."""
    _lost: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def taken(self, stop: threading.Event) -> Iterator[Held | None]:
        """Wait until it is ours, hold it while the block runs, then let the next one in; None when stopped first."""
        held = self._stand_by(stop)
        if held is None:
            yield None
            return
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(over,), name=f"{self.name} lease", daemon=True)
        thread.start()
        try:
            yield held
        finally:
            over.set()
            thread.join()
            self._leave()

    @contextmanager
    def doubting_outages(self) -> Iterator[None]:
        """What looks like one may be a later one's doing, who has put our stream out: then Fenced is raised."""
        try:
            yield
        except Unavailable:
            self.must_be_ours()
            raise

    @contextmanager
    def sending(self, held: Held, topic: TopicName, settings: TurnSettings) -> Iterator[Sender]:
        """Our shard's sender, once what was sent before us has ended, under all ids of an earlier division too.

        The lease is looked at before, so that one who was frozen here does not end its successor, and after: whoever
        takes it later fences later, too. Raises Fenced, BrokerUnavailable.
        """
        shards = (*(each for each in held.fence if each != self.lease.shard), self.lease.shard)
        with ExitStack() as stack:
            made = (Sender(settings.kafka, topic, shard, settings.compression) for shard in shards)
            senders = [stack.enter_context(closing(sender)) for sender in made]
            self.must_be_ours()
            for sender in senders:
                sender.fence()
            self.must_be_ours()
            if held.fence:
                self._divide()
            yield senders[-1]

    def must_be_ours(self) -> None:
        """Asks the database. Raises Fenced."""
        with told_plainly(self.lease.engine):
            if not self.lease.beat():
                raise Fenced(self.taken_over)

    def _divide(self) -> None:
        with told_plainly(self.lease.engine):
            if not self.lease.divide():
                raise Fenced(self.taken_over)

    @property
    def is_lost(self) -> bool:
        """Whether another one owns it, as far as is known."""
        return self._lost.is_set()

    def check(self) -> None:
        """As far as is known. Raises Fenced."""
        if self.is_lost:
            raise Fenced(self.taken_over)

    def _stand_by(self, stop: threading.Event) -> Held | None:
        while not stop.is_set():
            with told_plainly(self.lease.engine):
                held = self.lease.take() or self.lease.take()  # the first of all makes the row, then takes it
            if held is not None:
                return held
            self.meanwhile()
            stop.wait(min(STANDBY_SECONDS, self.lease.seconds / BEATS_PER_LEASE))
        return None

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(self.lease.seconds / BEATS_PER_LEASE):
            try:
                with told_plainly(self.lease.engine):
                    if not self.lease.beat():
                        self._lost.set()
                        return
            except BusError as error:
                not_touched = f"{self.name}_lease_not_touched"
                log.debug(not_touched, reason=error.reason)

    def _leave(self) -> None:
        try:
            with told_plainly(self.lease.engine):
                self.lease.leave()
        except BusError as error:  # another one has to wait out the lease; the outage itself is told once
            not_left = f"{self.name}_lease_not_left"
            log.debug(not_left, reason=error.reason)
