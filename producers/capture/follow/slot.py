"""The replication slot: how much log it keeps, and what is done before that fills the disk."""

import threading
import time
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine, text

from bus import metrics
from bus.errors import ConfigInvalid, LagExceeded
from producers.capture import publication
from producers.capture.follow.place import Place
from producers.capture.follow.settings import FollowSettings
from producers.capture.follow.stream import SlotBusy, Stream
from producers.capture.table import Captured
from producers.outbox.database import told_plainly

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
BUSY_SECONDS = 0.2
GONE = "is gone or has lost its log; run: lienthong capture install, after which the table is read afresh"

REMEDIES = {
    "stop": "find out what holds the bus up, start this again with a higher --max-lag-bytes, or uninstall the capture",
    "drop": "the slot is dropped, and the disk safe; once the bus is well, run: lienthong capture install",
}


@dataclass(slots=True)
class Slot:
    engine: Engine
    settings: FollowSettings
    _looked: float = 0.0
    _warned: bool = False

    def guard(self, capture: Captured, *, now: bool = False) -> None:
        """Look now and then: metric, warning at half of the bound. Raises LagExceeded beyond it."""
        if not now and time.monotonic() - self._looked < LOOK_SECONDS:
            return
        name, lag = self._look(capture)
        self._looked = time.monotonic()
        metrics.capture_lag.labels(self.settings.register_name).set(lag)
        bound = self.settings.max_lag_bytes
        if lag * 2 > bound and not self._warned:
            log.warning("capture_slot_lags", slot=name, lag_bytes=lag, max_lag_bytes=bound)
        self._warned = lag * 2 > bound
        if lag > bound:
            raise LagExceeded(
                f"slot {name} keeps {lag:,} bytes of log, more than {bound:,}: {REMEDIES[self.settings.when_full]}"
            )

    def open(self, capture: Captured, place: Place, stop: threading.Event) -> Stream | None:
        """The log from the place on, whoever still reads it put out: the lease is ours. None when stopped meanwhile."""
        name, _ = self._look(capture)
        url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while not stop.is_set():
            try:
                return Stream(url, name, publication.name(capture.id), place.lsn)
            except SlotBusy:
                with told_plainly(self.engine), self.engine.begin() as connection:
                    publication.evict(connection, capture.id)
                stop.wait(BUSY_SECONDS)
        return None

    def _look(self, capture: Captured) -> tuple[str, int]:
        with told_plainly(self.engine), self.engine.connect() as connection:
            found = connection.execute(text(publication.LAG), {"number": str(capture.id)}).one_or_none()
        if found is None or found.wal_status == "lost":
            raise ConfigInvalid(f"--table {self.settings.table}: its slot {GONE}")
        return found.name, int(found.bytes or 0)

    def drop(self, capture: Captured) -> None:
        """Once our stream is closed, where that is asked for."""
        if self.settings.when_full == "drop":
            with told_plainly(self.engine), self.engine.begin() as connection:
                publication.drop_slot(connection, capture.id, evict=True)
