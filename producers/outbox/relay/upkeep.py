"""What a relay does beside sending: counting what waits, tidying up, telling of rows that nobody takes, markers."""

import time
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Engine

from bus import metrics
from bus.catalog import Catalog
from bus.names import RegisterName
from producers.marking import Marking
from producers.outbox.relay.destination import Destination
from producers.outbox.relay.settings import RelaySettings
from producers.outbox.relay.source import Source, Waiting
from producers.outbox.relay.strays import REMEDY, Strays, find_strays, kinds

log = structlog.get_logger(__name__)

COUNT_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 60.0


@dataclass(slots=True)
class Upkeep:
    """Raises DatabaseUnavailable."""

    engine: Engine
    settings: RelaySettings
    catalog: Catalog
    destination: Destination
    source: Source
    _counted: float = 0.0
    _pruned: float = 0.0
    _cleaned: float = 0.0
    _strays: Strays = field(default_factory=Strays)
    _kinds: tuple[str, ...] = field(init=False)
    _marking: Marking = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = kinds(self.catalog)
        self._marking = Marking(self.settings.kafka, self.destination.topic, self.destination.facts.partitions)

    def tell_strays(self) -> None:
        """Each relay of an outbox sees them, and says so where they have become others."""
        found = find_strays(self.engine, self._kinds)
        metrics.outbox_strays.labels(self.destination.agency).set(found.rows)
        if found.rows and found != self._strays:
            log.warning("outbox_rows_strayed", rows=found.rows, first_id=found.first_id, remedy=REMEDY)
        self._strays = found

    def after_sweep(self) -> None:
        """What is due though rows may wait, a little at a time; the first shard writes the markers of all."""
        if time.monotonic() - self._counted >= COUNT_SECONDS:
            self._count()
        if self.settings.shard == 0:
            self._marking.write_if_due()
        if time.monotonic() - self._pruned >= HOUSEKEEPING_SECONDS and not self.source.prune(self.settings.keep):
            self._pruned = time.monotonic()

    def while_idle(self) -> None:
        """What is due, and true only while no row waits to be read."""
        if time.monotonic() - self._cleaned >= HOUSEKEEPING_SECONDS:
            self.source.park_lost()
            self.tell_strays()
            self._cleaned = time.monotonic()

    def _count(self) -> None:
        gauge(self.destination.register.name, self.source.waiting())
        self._counted = time.monotonic()


def gauge(register: RegisterName, found: Waiting) -> None:
    """Tell metrics what waits, whoever has the turn."""
    metrics.outbox_unsent.labels(register).set(found.unsent)
    metrics.outbox_oldest.labels(register).set(found.oldest_seconds)
    metrics.outbox_parked.labels(register).set(found.parked)
