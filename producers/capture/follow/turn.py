"""One at a time: the register's lease in the agency's database, which the outbox relay takes too."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from bus.errors import BusError, Fenced, Unavailable
from producers.capture.follow.place import TAKEN_OVER
from producers.outbox.database import told_plainly
from producers.outbox.relay.lease import Lease

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 4
STANDBY_SECONDS = 0.5


@dataclass(slots=True)
class Turn:
    lease: Lease
    _lost: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def taken(self, stop: threading.Event) -> Iterator[bool]:
        """Wait until it is ours, hold it while the block runs, then let the next one in; False when stopped first.

        What looks like an outage may be a later one's doing, who has put our stream out: then Fenced is raised.
        """
        if not self._stand_by(stop):
            yield False
            return
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(over,), name="capture lease", daemon=True)
        thread.start()
        try:
            yield True
        except Unavailable:
            self.must_be_ours()
            raise
        finally:
            over.set()
            thread.join()
            self._leave()

    def must_be_ours(self) -> None:
        """Asks the database. Raises Fenced."""
        with told_plainly(self.lease.engine):
            if not self.lease.beat():
                raise Fenced(TAKEN_OVER)

    def check(self) -> None:
        """As far as is known. Raises Fenced."""
        if self._lost.is_set():
            raise Fenced(TAKEN_OVER)

    def _stand_by(self, stop: threading.Event) -> bool:
        while not stop.is_set():
            with told_plainly(self.lease.engine):
                if (
                    self.lease.take() or self.lease.take()
                ) is not None:  # the first of all makes the row, then takes it
                    return True
            stop.wait(min(STANDBY_SECONDS, self.lease.seconds / BEATS_PER_LEASE))
        return False

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(self.lease.seconds / BEATS_PER_LEASE):
            try:
                with told_plainly(self.lease.engine):
                    if not self.lease.beat():
                        self._lost.set()
                        return
            except BusError as error:
                log.debug("capture_lease_not_touched", reason=error.reason)

    def _leave(self) -> None:
        try:
            with told_plainly(self.lease.engine):
                self.lease.leave()
        except BusError as error:  # another one has to wait out the lease; the outage itself is told once
            log.debug("capture_lease_not_left", reason=error.reason)
