"""Brings the state up to what the writer's own topic says, from where it stands or from the topic's beginning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition

from bus import kafka
from bus.catalog import Register
from bus.crashpoints import crash_point
from bus.errors import EventRefused
from bus.event import MARKER_KEY, Event, Op
from bus.headers import read_tombstone
from bus.names import TopicName
from bus.schema.columns import frame_schema
from bus.schema.fields import RegisterSchema
from bus.settings import KafkaSettings
from bus.topics.facts import TopicFacts
from producers.decoder import Decoder
from producers.filediff.fingerprint import fingerprints
from producers.filediff.progress import Reporter
from producers.filediff.state import FileState, Published

POLL_MS = 500
POLL_RECORDS = 5_000
MARGIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Source:
    """The topic and how to read it."""

    kafka: KafkaSettings
    register: Register
    topic: TopicName
    facts: TopicFacts
    schema: RegisterSchema
    decoder: Decoder

    @property
    def keeps_deletes(self) -> timedelta:
        """How old a state may be: after that, a delete may be gone from the topic without having been seen."""
        retention = int(self.register.topic_config["delete.retention.ms"])
        return max(timedelta(milliseconds=retention) - MARGIN, MARGIN)


async def catch_up(state: FileState, source: Source, now: datetime, reporter: Reporter) -> str | None:
    """Read what is committed and not yet in the state; why it was made anew from the beginning, if it was.

    May be killed anywhere and run again. Raises BrokerUnavailable.
    """
    places = [TopicPartition(source.topic, number) for number in range(source.facts.partitions)]
    async with kafka.consumer(source.kafka, max_poll_records=POLL_RECORDS) as client:
        with kafka.told_plainly(source.kafka):
            begin, end = await client.beginning_offsets(places), await client.end_offsets(places)
            why = state.why_useless(source.facts.topic_id, now, source.keeps_deletes)
            if why is None and not all(
                begin[place] <= state.positions().get(place.partition, 0) <= end[place] for place in places
            ):
                why = "the topic does not have the records after it"
            if why is not None:
                state.start_over(source.facts.topic_id)
            await _read(client, state, source, begin, end, reporter)
    state.caught_up(now)
    crash_point("filediff.synchronised")
    return why


async def _read(
    client: AIOKafkaConsumer,
    state: FileState,
    source: Source,
    begin: Mapping[TopicPartition, int],
    end: Mapping[TopicPartition, int],
    reporter: Reporter,
) -> None:
    known = state.positions()
    start = {place: known.get(place.partition, begin[place]) for place in end}
    client.assign(list(end))
    for place, offset in start.items():
        client.seek(place, offset)
    with reporter.step(f"reading {source.topic}", sum(end[place] - start[place] for place in end)) as advance:
        reached = start
        while any(reached[place] < end[place] for place in end):
            batches = await client.getmany(timeout_ms=POLL_MS)
            rows, unread = await _rows(source, [record for batch in batches.values() for record in batch])
            before, reached = reached, {place: await client.position(place) for place in end}
            state.apply(rows, {place.partition: offset for place, offset in reached.items()}, unread)
            advance(sum(reached[place] - before[place] for place in end))
            crash_point("filediff.synchronising")


async def _rows(source: Source, records: Sequence[Any]) -> tuple[list[Published], list[str]]:
    """What the records say, and the keys of those that cannot be read."""
    rows: list[Published] = []
    upserts: list[Event] = []
    unread: list[str] = []
    for record in records:
        if record.key is None or record.key == MARKER_KEY:
            continue
        key = record.key.decode(errors="replace")
        try:
            if record.value is None:
                rows.append(Published(key, None, read_tombstone(record.headers).version, gone=True))
                continue
            event = await source.decoder.event(record.value)
        except EventRefused:
            unread.append(key)
            continue
        if event.op is Op.UPSERT and event.state is not None:
            upserts.append(event)
        else:
            rows.append(Published(event.key, None, event.version, gone=True))
    return rows + _hashed(upserts, source.schema), unread


def _hashed(events: Sequence[Event], schema: RegisterSchema) -> list[Published]:
    states = pl.DataFrame([event.state for event in events], schema=frame_schema(schema))
    hashes = fingerprints(states, schema)
    return [
        Published(event.key, print_, event.version, gone=False) for event, print_ in zip(events, hashes, strict=True)
    ]
