"""The replica engine (decode, merge, store) as a state machine, beside its twin in memory and a plain model of the log.

Events arrive in any grouping, partitions in any order, twice, after crashes at any place, from a log that is compacted
meanwhile, while the table is rebuilt and swapped. After every step the database equals its twin; in the end both equal
what the log says.
"""

import asyncio
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bus import codec
from bus.catalog import load_catalog
from bus.errors import Fenced
from bus.event import Event, Op
from bus.headers import event_headers, tombstone_headers
from bus.names import RegisterName, TopicName
from bus.records import Record
from bus.registry.memory import MemoryRegistry
from bus.schema.avsc import load_register
from consumers.merging import merge
from consumers.reading.book import SchemaBook
from consumers.reading.columns import ColumnDecoder
from consumers.reading.rows import Reading, decode_rows
from consumers.route import Source
from consumers.stores import MemoryStore, open_store
from consumers.stores.base import Store
from consumers.stores.model import Advance, Batch, Outcome, Partition, Position, Slot
from tests.consuming import delete, upsert
from tests.consuming import merge as merged_into
from tests.parking import GARBAGE
from tests.producing import IDENTITY, POLICE
from tests.unit.consumers.reading.generated import as_columns

REGISTER = RegisterName(IDENTITY)
TOPIC, TOPIC_ID = TopicName("city.resident.identity"), "topic-1"
PARTITIONS = (0, 1)
PEOPLE = range(4)
AGAIN = "AGAIN"
OPS = (*map(str, Op), str(Op.UPSERT), AGAIN)
PARTS = st.sets(st.sampled_from(PARTITIONS), min_size=1)
COUNTS = st.integers(1, 8)


@cache
def engine() -> tuple[Reading, codec.Encoder]:
    """The shipped register, as a daemon knows it."""

    async def known() -> tuple[Reading, codec.Encoder]:
        register, registry = load_catalog().register(IDENTITY), MemoryRegistry()
        text = load_register(IDENTITY)[-1].text
        released = await registry.publish(register.avro_subject, text)
        book = SchemaBook(register, registry)
        reader = await book.refresh()
        sources = {TOPIC: Source(POLICE, TOPIC_ID)}
        reading = Reading(register, reader.table, sources, reader.schema, book.writers)
        return reading, codec.Encoder(released.schema_id, codec.parse(json.loads(text)))

    return asyncio.run(known())


@dataclass
class Log:
    """One partition: what a broker keeps of what was appended."""

    number: int
    records: list[Record] = field(default_factory=list)
    end: int = 0

    def append(self, key: bytes, value: bytes | None, headers: Any = ()) -> None:
        self.records.append(Record(TOPIC, self.number, self.end, 1_751_328_000_000, key, value, tuple(headers)))
        self.end += 1

    def compact(self) -> None:
        """The newest of every key stays, and what is last of all."""
        last = {record.key: record.offset for record in self.records}
        kept = set(last.values()) | {self.end - 1}
        self.records = [record for record in self.records if record.offset in kept]

    def after(self, offset: int, count: int) -> tuple[list[Record], int]:
        """So many records from an offset on, and where the next fetch begins."""
        found = [record for record in self.records if record.offset >= offset][:count]
        whole = not found or found[-1] is self.records[-1]
        return found, self.end if whole else found[-1].offset + 1


class Engine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.reading, self.encoder = engine()
        self.folder = tempfile.TemporaryDirectory(prefix="lienthong-engine-")
        self.logs = [Log(number) for number in PARTITIONS]
        self.newest: dict[int, Event] = {}
        self.poison = 0
        self.version = 0
        self.twin = MemoryStore()
        self.twin.open([self.reading.table])
        self.store = self.opened()
        self.positions: dict[Slot, dict[Partition, Position]] = {}

    def opened(self) -> Store:
        store = open_store(f"sqlite:///{Path(self.folder.name)}/replica.db")
        store.open([self.reading.table])
        return store

    @initialize()
    def bootstrap(self) -> None:
        self.begin_rebuild()
        self.finish_rebuild()

    # What sources and brokers do.

    @rule(events=st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(OPS)), min_size=1, max_size=8))
    def publish(self, events: list[tuple[int, str]]) -> None:
        """Also deletes what never was, makes anew what was deleted, and says again what was said last."""
        for number, op in events:
            if op != AGAIN:
                self.version += 1
                self.newest[number] = self.made(number, op)
            if number in self.newest:
                self.append(number, self.newest[number])

    def made(self, number: int, op: str) -> Event:
        if op == Op.DELETE:
            return delete(number, self.version)
        if op == Op.MERGE:
            return merged_into(number, number + 100, self.version)
        return upsert(number, self.version, full_name=f"Nguyễn Văn {self.version}")

    def append(self, number: int, event: Event) -> None:
        log, key = self.logs[number % len(PARTITIONS)], event.key.encode()
        log.append(key, self.encoder.encode(event), event_headers(event))
        if event.op is Op.DELETE:
            log.append(key, None, tombstone_headers(event))

    @rule(number=st.sampled_from(PARTITIONS))
    def publish_poison(self, number: int) -> None:
        self.poison += 1
        self.logs[number].append(f"poison-{self.poison}".encode(), GARBAGE)

    @rule(number=st.sampled_from(PARTITIONS))
    def write_marker(self, number: int) -> None:
        """A transaction's: it takes an offset, and nobody is handed it."""
        self.logs[number].end += 1

    @rule(number=st.sampled_from(PARTITIONS))
    def compact(self, number: int) -> None:
        self.logs[number].compact()

    # What the daemon does, and what befalls it.

    @rule(numbers=PARTS, count=COUNTS, columns=st.booleans())
    def deliver(self, numbers: set[int], count: int, columns: bool) -> None:
        self.commit(Slot.LIVE, self.batch(Slot.LIVE, numbers, count, columns=columns))

    @rule(numbers=PARTS, count=COUNTS)
    def crash_between_decode_and_commit(self, numbers: set[int], count: int) -> None:
        self.batch(Slot.LIVE, numbers, count)
        self.restart()

    @rule(numbers=PARTS, count=COUNTS)
    def crash_after_commit(self, numbers: set[int], count: int) -> None:
        """The database knows more than the lane that died."""
        believed = dict(self.positions[Slot.LIVE])
        self.commit(Slot.LIVE, self.batch(Slot.LIVE, numbers, count))
        self.positions[Slot.LIVE] = believed
        self.restart()

    @rule(numbers=PARTS, count=COUNTS)
    def lose_the_commits_answer(self, numbers: set[int], count: int) -> None:
        batch = self.batch(Slot.LIVE, numbers, count)
        if batch.advances:
            self.commit(Slot.LIVE, batch)
            assert self.store.apply(batch) == self.twin.apply(batch) == Outcome(0, 0)

    @rule(numbers=PARTS, count=COUNTS)
    def write_after_a_successor(self, numbers: set[int], count: int) -> None:
        late = self.batch(Slot.LIVE, numbers, count)
        self.claim(Slot.LIVE)
        if late.advances:
            for store in (self.store, self.twin):
                with pytest.raises(Fenced):
                    store.apply(late)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.opened()
        self.claim(Slot.LIVE)
        if Slot.SHADOW in self.positions:
            self.claim(Slot.SHADOW)

    @rule()
    def begin_rebuild(self) -> None:
        for store in (self.store, self.twin):
            store.begin_fill(REGISTER)
        self.claim(Slot.SHADOW)

    @precondition(lambda self: Slot.SHADOW in self.positions)
    @rule(numbers=PARTS, count=COUNTS, columns=st.booleans())
    def fill(self, numbers: set[int], count: int, columns: bool) -> None:
        self.commit(Slot.SHADOW, self.batch(Slot.SHADOW, numbers, count, columns=columns))

    @precondition(lambda self: Slot.SHADOW in self.positions)
    @rule()
    def finish_rebuild(self) -> None:
        """When the shadow has what the live table has, and what was there when it began."""
        self.drain(Slot.SHADOW)
        assert self.store.finish_fill(REGISTER) == self.twin.finish_fill(REGISTER)
        del self.positions[Slot.SHADOW]
        self.claim(Slot.LIVE)

    def drain(self, slot: Slot) -> None:
        while (batch := self.batch(slot, set(PARTITIONS), 50)).advances:
            self.commit(slot, batch)

    def claim(self, slot: Slot) -> None:
        ids = {Partition(TOPIC, number): TOPIC_ID for number in PARTITIONS}
        held, twins = (dict(store.claim(REGISTER, slot, ids, "H29.4/replica")) for store in (self.store, self.twin))
        assert held == twins
        self.positions[slot] = held

    def batch(self, slot: Slot, numbers: set[int], count: int, *, columns: bool = True) -> Batch:
        records: list[Record] = []
        advances = []
        for number in sorted(numbers):
            at = Partition(TOPIC, number)
            stands = self.positions[slot][at]
            found, then = self.logs[number].after(stands.next_offset, count)
            records += found
            if then != stands.next_offset:
                advances.append(Advance(at, stands.epoch, stands.next_offset, then))
        decoded = (
            ColumnDecoder().decode(self.reading, as_columns(records))
            if columns and records
            else decode_rows(self.reading, enumerate(records))
        )
        found = merge(decoded.events)
        counts = {**decoded.counts, "superseded": found.superseded, "tombstone": found.tombstones}
        worth = {name: n for name, n in counts.items() if n}
        return Batch(REGISTER, found.rows.drop("record"), advances, decoded.parked, worth)

    def commit(self, slot: Slot, batch: Batch) -> None:
        if not batch.advances:
            return
        if slot is Slot.LIVE:
            assert self.store.apply(batch) == self.twin.apply(batch)
        else:
            self.store.fill(batch)
            self.twin.fill(batch)
        for move in batch.advances:
            self.positions[slot][move.at] = replace(self.positions[slot][move.at], next_offset=move.next_offset)

    @invariant()
    def database_equals_its_twin(self) -> None:
        assert self.store.rows(REGISTER).equals(self.twin.rows(REGISTER))
        assert self.store.counters(REGISTER) == self.twin.counters(REGISTER)
        assert [each.origin for each in self.store.parked(REGISTER)] == [
            each.origin for each in self.twin.parked(REGISTER)
        ]
        for slot in Slot:
            assert dict(self.store.positions(REGISTER, slot)) == dict(self.twin.positions(REGISTER, slot))

    def teardown(self) -> None:
        try:
            self.drain(Slot.LIVE)
            self.judge()
        finally:
            self.store.close()
            self.folder.cleanup()

    def judge(self) -> None:
        """Row by row against what was published last, and each change told once, in order."""
        self.database_equals_its_twin()
        rows = {
            row["key"]: (row["version"], row["full_name"], row["op"]) for row in self.store.rows(REGISTER).to_dicts()
        }
        assert rows == {
            event.key: (event.version, event.state["full_name"] if event.state else None, str(event.op))
            for event in self.newest.values()
            if event.op is not Op.DELETE
        }
        assert len(self.store.parked(REGISTER)) == self.poison
        told = [(each.key, each.version) for each in self.store.changes(None, 10_000)]
        assert max(Counter(told).values(), default=0) <= 1
        assert all(
            told.index(one) <= told.index(other) for one in told for other in told if one < other and one[0] == other[0]
        )


def test_engine_keeps_step_with_its_log_and_its_twin_whatever_befalls_it() -> None:
    run_state_machine_as_test(
        Engine,
        settings=settings(max_examples=60, stateful_step_count=30),
    )
