"""Replaying: parked events are decoded again, by the row way with the schemas of now, and applied by version."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bus import wire
from bus.catalog import Catalog
from bus.errors import ClusterMismatch, RowsRefused, WireInvalid
from bus.event import MARKER_KEY
from bus.names import RegisterName, SchemaId, TopicName
from bus.records import Record
from bus.registry import SchemaRegistry
from consumers.merging import merge
from consumers.reading.book import SchemaBook
from consumers.reading.rows import Reading, decode_rows
from consumers.route import Source
from consumers.stores.base import Desk
from consumers.stores.model import Outcome, Parked, Replay, Slot

MADE_AGAIN = "its topic is none of the register's, or has been deleted and made again since: dismiss it"


@dataclass(frozen=True, slots=True)
class Tally:
    """What a replay came to."""

    applied: int = 0
    stale: int = 0
    """Older than what the replica holds, or as old: parked no more."""
    superseded: int = 0
    """Older than another of the same replay, or said twice: parked no more."""
    standing: Mapping[str, int] | None = None
    """Parked still, by reason."""

    @property
    def still_parked(self) -> int:
        return sum((self.standing or {}).values())

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.applied + other.applied,
            self.stale + other.stale,
            self.superseded + other.superseded,
            Counter(self.standing or {}) + Counter(other.standing or {}),
        )


def plan(reading: Reading, events: Sequence[Parked]) -> Replay:
    """What a replay of these events would do. Pure."""
    ours = [each for each in events if _is_from(each, reading.sources)]
    decoded = decode_rows(reading, enumerate(map(_record, ours)))
    foreign = [
        replace(each, reason=ClusterMismatch.reason, detail=MADE_AGAIN)
        for each in events
        if not _is_from(each, reading.sources)
    ]
    again = {each.origin for each in decoded.parked}
    return Replay(
        table=reading.table,
        rows=merge(decoded.events).rows.drop("record"),
        settled=[each.origin for each in ours if each.origin not in again],
        standing=[*decoded.parked, *foreign],
    )


def _is_from(event: Parked, sources: Mapping[TopicName, Source]) -> bool:
    return event.topic in sources and sources[event.topic].topic_id == event.topic_id


def _record(event: Parked) -> Record:
    place = (event.topic, event.partition, event.offset, event.kafka_timestamp_ms)
    return Record(*place, event.key, event.value, event.headers)


class Replayer:
    """Works beside the daemon or without one, a transaction at a time: a kill leaves an event parked or applied."""

    def __init__(self, desk: Desk, catalog: Catalog, registry: SchemaRegistry, *, dry: bool = False) -> None:
        """``dry`` tells what would happen and changes nothing."""
        self._desk, self._catalog, self._registry, self._dry = desk, catalog, registry, dry
        self._books: dict[RegisterName, SchemaBook] = {}

    async def replay(self, register: RegisterName, events: Sequence[Parked]) -> Tally:
        """Replay events of one register. Raises Unavailable, ClusterMismatch."""
        return self._apply(await self._reading(register, events), events)

    async def _reading(self, name: RegisterName, events: Sequence[Parked]) -> Reading:
        register = self._catalog.register(name)
        book = self._books.setdefault(name, SchemaBook(register, self._registry))
        await book.learn(_schema_ids(events))
        reader = await book.reader_of(self._desk.table(name).fingerprint)
        ids = {at.topic: position.topic_id for at, position in self._desk.positions(name, Slot.LIVE).items()}
        sources = {
            topic: Source(writer, ids.get(topic, "")) for topic, writer in self._catalog.topics(register).items()
        }
        return Reading(register, reader.table, sources, reader.schema, book.writers)

    def _apply(self, reading: Reading, events: Sequence[Parked]) -> Tally:
        """What the database refuses is halved, down to the one event that it cannot hold."""
        wanted = plan(reading, events)
        try:
            return _tally(wanted, self._desk.replay(wanted, dry=self._dry))
        except RowsRefused as error:
            if len(events) > 1:
                middle = len(events) // 2
                return self._apply(reading, events[:middle]) + self._apply(reading, events[middle:])
            told = [replace(events[0], reason=error.reason, detail=str(error))]
            wanted = replace(wanted, rows=wanted.rows.clear(), settled=[], standing=told)
            return _tally(wanted, self._desk.replay(wanted, dry=self._dry))


def _tally(wanted: Replay, outcome: Outcome) -> Tally:
    superseded = len(wanted.settled) - outcome.applied - outcome.stale
    return Tally(outcome.applied, outcome.stale, superseded, Counter(each.reason for each in wanted.standing))


def _schema_ids(events: Sequence[Parked]) -> set[SchemaId]:
    found = set()
    for each in events:
        if each.value is not None and each.key != MARKER_KEY:
            try:
                found.add(wire.split(each.value)[0])
            except WireInvalid:
                continue
    return found
