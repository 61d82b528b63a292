"""The judge: source, topic and replica compared in full, row by row and by counters."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import psycopg

from bus.errors import EventRefused
from bus.event import MARKER_KEY, Event, Op
from bus.headers import read_tombstone
from bus.log import masked
from bus.names import RegisterName
from bus.registry import open_registry
from bus.topics import describe
from consumers.comparing import compare, read_topics
from consumers.reading.book import SchemaBook
from consumers.route import find_route
from consumers.stores import open_reader
from consumers.stores.base import Reader
from consumers.stores.model import Origin, Slot
from producers.decoder import Decoder
from tests.fault.suite.source import PROBES, Exports, key_of
from tests.fault.suite.world import CIVIL, PREFIX, REGISTERS, ReplicaPlace, World
from tests.producing import IDENTITY, RESIDENCE, records, registry_settings

SHOWN = 5
Poisoned = tuple[str, int, int]
"""Register, partition, offset."""
FIELD = {IDENTITY: "full_name", RESIDENCE: "household_no", CIVIL: "registration_number"}
"""The one that sources change."""
OUTBOX = "SELECT id::text FROM lienthong_outbox WHERE type <> 'TOMBSTONE'"
UNSENT = "SELECT count(*) FROM lienthong_outbox WHERE sent_at IS NULL"


@dataclass(slots=True)
class Verdict:
    """What there is to hold against the bus; all zeros where it kept its promise."""

    lost: int = 0
    doubled: int = 0
    misordered: int = 0
    unequal_replicas: int = 0
    miscounted: int = 0
    """Registers of replicas whose counters do not add up to the topic's records."""
    misparked: int = 0
    """Poison that is not parked exactly once, or anything else that is."""
    events: int = 0
    rows: int = 0
    details: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (
            self.lost or self.doubled or self.misordered or self.unequal_replicas or self.miscounted or self.misparked
        )

    def tell(self, what: str, keys: Iterable[str]) -> int:
        """Note what is wrong; how many."""
        found = list(keys)
        if found:
            self.details.append(f"{what}: {len(found)}, such as {', '.join(masked(key) for key in found[:SHOWN])}")
        return len(found)


@dataclass(slots=True)
class Log:
    """A topic's records, events decoded, each key's in offset order."""

    records: int = 0
    poison: list[str] = field(default_factory=list)
    """Origins of what cannot be decoded."""
    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    tombstones: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    steps: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Per key, version and 1 for a tombstone, 0 for an event: has to rise."""

    def states(self, name: str) -> dict[str, Any]:
        """Per key the named field of its last event, where that has a state."""
        last = {key: events[-1] for key, events in self.events.items()}
        return {key: event.state[name] for key, event in last.items() if event.op is Op.UPSERT and event.state}


async def read_log(world: World, register: str) -> Log:
    log, topic = Log(), world.topic(register)
    topic_id = (await describe(world.admin(), [topic]))[topic].topic_id
    async with open_registry(registry_settings(PREFIX), world.settings) as registry:
        decoder = Decoder(RegisterName(register), registry)
        for record in await records(world.direct, topic):
            log.records += 1
            if record.key == MARKER_KEY:
                continue
            key = record.key.decode()
            try:
                if record.value is None:
                    version = read_tombstone(record.headers).version
                    log.tombstones[key].append(version)
                    log.steps[key].append((version, 1))
                else:
                    event = await decoder.event(record.value)
                    log.events[key].append(event)
                    log.steps[key].append((event.version, 0))
            except EventRefused:
                log.poison.append(str(Origin(topic_id, record.partition, record.offset)))
    return log


async def judge(
    world: World, exports: Exports, replicas: Iterable[ReplicaPlace], poisoned: Iterable[Poisoned] = ()
) -> Verdict:
    """``poisoned`` are the places at which brokers acknowledged poison."""
    verdict = Verdict()
    logs = {register: await read_log(world, register) for register in REGISTERS}
    for register, log in logs.items():
        verdict.events += sum(map(len, log.events.values()))
        _judge_order(verdict, register, log)
    _judge_outbox(verdict, world, logs[IDENTITY])
    _judge_acknowledged(verdict, world, logs, poisoned)
    _judge_states(verdict, world, exports, logs)
    _judge_exports(verdict, exports, logs[CIVIL])
    await _judge_dead_letters(verdict, world, logs)
    for place in replicas:
        await _judge_replica(verdict, world, place, logs)
    return verdict


def _judge_order(verdict: Verdict, register: str, log: Log) -> None:
    wrong = (key for key, steps in log.steps.items() if any(later <= earlier for earlier, later in pairwise(steps)))
    verdict.misordered += verdict.tell(f"{register}: keys whose versions do not rise on the topic", wrong)
    ids = Counter(event.event_id for events in log.events.values() for event in events)
    verdict.doubled += verdict.tell(f"{register}: events that stand twice", (str(i) for i, n in ids.items() if n > 1))
    deletes = {key: [each.version for each in events if each.op is Op.DELETE] for key, events in log.events.items()}
    bare = (key for key in deletes if deletes[key] != log.tombstones.get(key, []))
    verdict.lost += verdict.tell(f"{register}: keys with a delete without its tombstone, or the other way", bare)


def _judge_outbox(verdict: Verdict, world: World, log: Log) -> None:
    with psycopg.connect(world.truth) as connection:
        source = {row[0] for row in connection.execute(OUTBOX)}
        unsent = connection.execute(UNSENT).fetchone()[0]
    sent = {str(event.event_id) for events in log.events.values() for event in events}
    verdict.lost += verdict.tell("events of the outbox that are not on the topic", source - sent)
    verdict.doubled += verdict.tell("events on the topic that are not in the outbox", sent - source)
    verdict.lost += verdict.tell("rows of the outbox not marked as sent", ["row"] * unsent)


def _judge_acknowledged(verdict: Verdict, world: World, logs: Mapping[str, Log], poisoned: Iterable[Poisoned]) -> None:
    """Whatever a program was told that Kafka has is there, later changes of the same key or not."""
    with psycopg.connect(world.truth) as connection:
        told = {row[0] for row in connection.execute("SELECT event_id::text FROM acknowledged")}
    there = {str(event.event_id) for events in logs[RESIDENCE].events.values() for event in events}
    verdict.lost += verdict.tell("acknowledged events that are not on the topic", told - there)
    verdict.lost += verdict.tell("programs to which nothing was acknowledged", [] if told else ["publisher"])
    places = {(name, *origin.rsplit("/", 2)[1:]) for name, log in logs.items() for origin in log.poison}
    gone = (f"{name}/{n}/{offset}" for name, n, offset in poisoned if (name, str(n), str(offset)) not in places)
    verdict.lost += verdict.tell("acknowledged poison that is not on the topic", gone)


def _judge_states(verdict: Verdict, world: World, exports: Exports, logs: Mapping[str, Log]) -> None:
    """Each source's rows against the topic's last states."""
    with psycopg.connect(world.truth) as connection:
        people = dict(connection.execute("SELECT personal_id, full_name FROM person").fetchall())
        homes = dict(
            connection.execute("SELECT personal_id, household_no FROM residence WHERE household_no IS NOT NULL")
        )
    for register, source in ((IDENTITY, people), (RESIDENCE, homes), (CIVIL, exports.last)):
        topic = logs[register].states(FIELD[register])
        verdict.rows += len(source)
        unequal = (key for key in source.keys() | topic.keys() if source.get(key) != topic.get(key))
        verdict.lost += verdict.tell(f"{register}: keys whose last state on the topic is not the source's", unequal)


def _judge_exports(verdict: Verdict, exports: Exports, log: Log) -> None:
    """Each change between two exports stands once: what a key was at each of them, and nothing else."""
    shown = {
        key: [event.state["registration_number"] if event.state else None for event in events]
        for key, events in log.events.items()
    }
    lost = (key for key, due in exports.due.items() if len(shown.get(key, [])) < len(due))
    verdict.lost += verdict.tell("keys of exports with fewer events than changes", lost)
    doubled = (key for key, states in shown.items() if len(states) > len(exports.due.get(key, [])))
    verdict.doubled += verdict.tell("keys of exports with more events than changes", doubled)
    other = (key for key, due in exports.due.items() if shown.get(key) != due and len(shown.get(key, [])) == len(due))
    verdict.misordered += verdict.tell("keys of exports with other states than theirs", other)


async def _judge_dead_letters(verdict: Verdict, world: World, logs: Mapping[str, Log]) -> None:
    """Whatever is parked has been forwarded, under its origin, and nothing else."""
    poison = {origin for log in logs.values() for origin in log.poison}
    found = {record.key.decode() for record in await records(world.direct, world.catalog.dead_letter_topic)}
    verdict.lost += verdict.tell("parked events that are no dead letters", poison - found)
    verdict.misparked += verdict.tell("dead letters of what can be decoded", found - poison)


async def _judge_replica(verdict: Verdict, world: World, place: ReplicaPlace, logs: Mapping[str, Log]) -> None:
    with open_reader(place.database) as reader:
        async with open_registry(registry_settings(PREFIX), world.settings) as registry:
            for name, log in logs.items():
                register = world.catalog.register(name)
                route = await find_route(world.admin(), world.catalog, register)
                published = await read_topics(route, SchemaBook(register, registry), world.settings)
                found = compare(published, reader.rows(register.name), reader.positions(register.name, Slot.LIVE))
                held = {row["key"]: row[FIELD[name]] for row in _states(reader, name)}
                told = log.states(FIELD[name])
                other = [key for key in held.keys() | told.keys() if held.get(key) != told.get(key)]
                odd = [*found.missing, *found.extra, *found.different, *other] or ["behind"] * found.behind
                verdict.unequal_replicas += bool(verdict.tell(f"{place.name}: {name} is not as its topic", odd))
                _judge_counters(verdict, place, name, reader, log)
        _judge_feed(verdict, place, reader, logs)


def _states(reader: Reader, name: str) -> Iterable[Mapping[str, Any]]:
    """Keys and the one field of a replica's rows, apart from how ``compare`` reads the topic."""
    return reader.rows(RegisterName(name)).select("key", FIELD[name]).iter_rows(named=True)


def _judge_counters(verdict: Verdict, place: ReplicaPlace, name: str, reader: Reader, log: Log) -> None:
    """Every record of the topic was dealt with once, whatever it came to."""
    counters = reader.counters(RegisterName(name))
    if sum(counters.values()) != log.records:
        verdict.miscounted += 1
        verdict.details.append(f"{place.name}: {name} counts {dict(counters)} of {log.records} records")
    parked = sum(each.events for each in reader.parked_counts() if each.register == name)
    if not counters.get("parked", 0) == parked == len(log.poison):
        verdict.misparked += 1
        verdict.details.append(f"{place.name}: {name} has parked {parked} of {len(log.poison)} on the topic")


def _judge_feed(verdict: Verdict, place: ReplicaPlace, reader: Reader, logs: Mapping[str, Log]) -> None:
    """The feed tells each change of a key once, in the order of versions, and the last one in the end.

    What nobody has changed since the first fill has no entry; the source's probes have been changed often.
    """
    last: dict[tuple[str, str], int] = {}
    cursor, wrong = None, []
    while changes := reader.changes(cursor, 10_000):
        cursor = changes[-1].cursor
        for each in changes:
            if each.version <= last.get((each.register, each.key), -1):
                wrong.append(each.key)
            last[each.register, each.key] = each.version
    verdict.doubled += verdict.tell(f"{place.name}: changes that the feed tells twice or too late", wrong)
    ends = {(name, key): max(steps)[0] for name, log in logs.items() for key, steps in log.steps.items()}
    probes = {(IDENTITY, key_of(number)) for number in PROBES}
    short = (key for name, key in last.keys() | probes if last.get((name, key)) != ends.get((name, key)))
    verdict.lost += verdict.tell(f"{place.name}: keys whose last change the feed does not tell", short)
