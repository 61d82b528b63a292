"""The follower: a table as it stands, then its log, to the register's topic; each change once, in commit order.

1. Take the register's lease, and fence whoever sent before.
2. Compare what the topic holds beyond the place in the database: that is sent and not known to be.
3. Send the table as it stands, where that is not done.
4. Follow the log from the place on.
"""

import asyncio
import threading
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import structlog
from sqlalchemy import Engine, text

from bus.catalog import load_catalog
from bus.crashpoints import crash_point
from bus.errors import BusError, ClusterMismatch, ConfigInvalid, LagExceeded
from bus.registry import open_registry
from producers.capture.follow.absence import Absence
from producers.capture.follow.copy import Copy
from producers.capture.follow.place import TAKEN_OVER, Ledger, Place
from producers.capture.follow.reading import Reading
from producers.capture.follow.settings import FollowSettings
from producers.capture.follow.slot import Slot
from producers.capture.follow.stream import read_lsn
from producers.capture.follow.way import Way
from producers.capture.install import captures, table_of
from producers.capture.source import Source
from producers.capture.table import Captured, captured
from producers.capture.translation import Translator
from producers.marking import Marking
from producers.outage import Outage
from producers.outbox.database import engine_for, told_plainly
from producers.outbox.relay.destination import Destination, find_destination
from producers.outbox.relay.holding import Holding, holding
from producers.outbox.relay.lease import Lease
from producers.outbox.relay.sender import Sender
from producers.outbox.relay.turn import Turn
from producers.outbox.rows import kind
from producers.tail import Tail

log = structlog.get_logger(__name__)

FLUSHED = "SELECT pg_current_wal_flush_lsn()::text"


class Follower:
    """Runs in a thread of its own until ``stop``; after an outage it begins anew.

    Raises Fenced when taken over; LagExceeded when the slot keeps too much; ConfirmationNeeded where a table that was
    read afresh lacks too many; InputRefused and ClusterMismatch when it cannot work as it is told.
    """

    def __init__(self, settings: FollowSettings) -> None:
        self._settings = settings
        self._catalog = load_catalog(settings.catalog, prefix=settings.prefix)
        self._agency = self._catalog.agency(settings.agency)
        self._register = self._catalog.register(settings.register_name)
        self._topic = self._register.topic(self._agency)
        self._engine: Engine = engine_for(settings.url.get_secret_value())
        self._slot = Slot(self._engine, settings)
        self._owner = str(uuid4())
        self._stop = threading.Event()
        told = {"register": self._register.name, "agency": self._agency}
        self._outage = Outage("capture", told, self._stop)
        self._state = "starting"

    @property
    def unready(self) -> str | None:
        """Why it does not follow; None while it does."""
        return None if self._state == "following" else self._state

    def stop(self) -> None:
        """Finish the batch under way and leave. May be called from a signal handler, and twice."""
        self._stop.set()

    def run(self, *, until_current: bool = False) -> None:
        """Follow until stopped; with ``until_current``, until what is committed at the start is sent."""
        try:
            self._run(until_current=until_current)
        finally:
            self._engine.dispose()
            self._state = "stopped"

    def _run(self, *, until_current: bool) -> None:
        while not self._stop.is_set():
            try:
                self._slot.guard(self._capture(), now=True)
                self._lead(until_current=until_current)
                if until_current:
                    return
            except LagExceeded:
                self._slot.drop(self._capture())
                raise
            except BusError as error:
                if until_current or not error.retriable:
                    raise
                self._state = error.reason
                self._outage.wait(error)

    def _lead(self, *, until_current: bool) -> None:
        settings = self._settings
        destination = asyncio.run(find_destination(settings, self._catalog))
        lease = Lease(self._engine, kind(self._register, self._agency), 0, 1, settings.lease_seconds, self._owner)
        turn = Turn(lease, "capture", TAKEN_OVER)
        self._state = "standing by"
        with turn.taken(self._stop) as held, turn.doubting_outages():
            if held is None:
                return
            with turn.sending(held, self._topic, settings) as sender:
                self._follow(destination, turn, sender, until_current=until_current)

    def _follow(self, destination: Destination, turn: Turn, sender: Sender, *, until_current: bool) -> None:
        capture = self._capture()
        ledger = Ledger(turn.lease, capture)
        place, found = self._synchronised(destination, ledger)
        self._tell("capture_took_over", sent_already=len(found.known))
        crash_point("capture.synchronised")
        schema, lists = destination.release.schema, destination.codes.lists
        source = table_of(self._engine, capture, self._catalog, schema, lists)
        translator = destination.translator(self._engine)
        encoder = destination.encoder(translator)
        way = Way(self._register, self._agency, capture.id, encoder, sender, found.known, place.high)
        if capture.snapshot_done_at is None:
            copied = self._copied(destination, source, way, ledger, translator, place)
            if copied is None:
                return
            place, capture = copied, self._capture()
        target = self._flushed() if until_current else None
        stream = self._slot.open(capture, place, self._stop)
        if stream is None:
            return
        with closing(stream):
            self._state = "following"
            self._outage.over()
            rows = self._settings.transaction_rows
            marking = Marking(self._settings.kafka, self._topic, self._register.partitions)
            reading = Reading(self._engine, source, way, ledger, stream, rows, place, dict(capture.snapshot or {}))
            while not self._stop.is_set() and not reading.reached(target):
                reading.turn()
                turn.check()
                self._slot.guard(capture)
                marking.write_if_due()

    def _copied(
        self, destination: Destination, source: Source, way: Way, ledger: Ledger, translator: Translator, place: Place
    ) -> Place | None:
        self._state = "reading the table"
        self._outage.over()
        settings, capture = self._settings, ledger.capture
        terms = {"settings": settings, "register": self._register, "translator": translator, "mapping": capture.id}
        terms |= {"facts": destination.facts, "release": destination.release, "alone": self._is_alone(capture)}

        def told(rows: int) -> None:
            self._tell("capture_table_read", rows=rows)
            self._slot.guard(capture)

        with Absence.opened(self._topic, **terms) as absence:
            rows, stopped = settings.snapshot_rows, self._stop.is_set
            return Copy(self._engine, source, way, ledger, absence, rows, stopped, told).run(place)

    def _is_alone(self, capture: Captured) -> bool:
        with told_plainly(self._engine), self._engine.connect() as connection:
            return sum(each.aggregatetype == capture.aggregatetype for each in captured(connection)) == 1

    def _synchronised(self, destination: Destination, ledger: Ledger) -> tuple[Place, Holding]:
        """Where to go on. Before anything is ever sent, the topic's end is kept as the place to look from."""
        place = Place.of(ledger.capture.stream or {})
        if place.topic_id not in (None, destination.facts.topic_id):
            raise ClusterMismatch(
                f"{self._topic}: was deleted and made again; run lienthong capture uninstall, then install: the table "
                "is read afresh"
            )
        found, high = asyncio.run(self._look(destination, place))
        place = replace(place, high=max(place.high, high), topic_id=destination.facts.topic_id)
        if place.positions is None:
            place = place.beyond(found.ends)
            ledger.keep(place)
        return place, found

    async def _look(self, destination: Destination, place: Place) -> tuple[Holding, int]:
        settings, partitions = self._settings, destination.facts.partitions
        found = await holding(settings.kafka, self._topic, partitions, place.positions)
        async with open_registry(settings.registry, settings.kafka) as registry:
            tail = Tail(settings.kafka, registry, self._register.name)
            high = await tail.high_water(self._topic, partitions)
        return found, max(high.values(), default=0)

    def _capture(self) -> Captured:
        found = captures(self._engine, self._settings.table, "log")
        mine = [each for each in found if (each.register, each.agency) == (self._register.name, self._agency)]
        if not mine:
            raise ConfigInvalid(
                f"--table {self._settings.table}: is captured for {found[0].register} of {found[0].agency}; name these"
            )
        return mine[0]

    def _flushed(self) -> int:
        with told_plainly(self._engine), self._engine.connect() as connection:
            return read_lsn(connection.execute(text(FLUSHED)).scalar_one())

    def _tell(self, event: str, **told: object) -> None:
        log.info(event, register=self._register.name, agency=self._agency, **told)
