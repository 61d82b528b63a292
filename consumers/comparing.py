"""Proof of sync: a replica's table against what its topics say, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition

from bus import kafka
from bus.batches import by_batches
from bus.records import Records
from bus.settings import KafkaSettings
from consumers.merging import merge
from consumers.reading.book import Reader, SchemaBook
from consumers.reading.columns import ColumnDecoder
from consumers.reading.ids import schema_ids
from consumers.reading.rows import Reading
from consumers.route import Route
from consumers.stores import canonical_frame
from consumers.stores.model import Partition, Position

RUNS = 64  # of at most some thousand records each, as adapters send them


@dataclass(frozen=True, slots=True)
class Comparison:
    """Keys of one register that differ between topics and replica; ``behind`` counts offsets not yet applied."""

    rows: int
    missing: tuple[str, ...]
    """On the topic, not in the replica."""
    extra: tuple[str, ...]
    """In the replica, not on the topic."""
    different: tuple[str, ...]
    behind: int

    @property
    def equal(self) -> bool:
        return not (self.missing or self.extra or self.different or self.behind)


@dataclass(frozen=True, slots=True)
class Published:
    """What the topics come to: newest event of every key, deletes left out, and the offsets read up to."""

    rows: pl.DataFrame
    ends: Mapping[Partition, int]


async def read_topics(route: Route, book: SchemaBook, settings: KafkaSettings) -> Published:
    """Read a register's topics from the beginning to their ends. Memory grows with the register: about 1 kB a row."""
    reader = await book.refresh()
    frames: list[pl.DataFrame] = []
    decoder = ColumnDecoder()
    async with kafka.consumer(settings) as consumer:
        by_batches(consumer)
        with kafka.told_plainly(settings):
            ends = await _from_the_beginning(consumer, route)
            while not await _at(consumer, ends):
                got = await consumer.getmany(timeout_ms=200, max_records=RUNS)
                records = Records.of([run for of_partition in got.values() for run in of_partition])
                await book.learn(schema_ids(records))
                frames.append(_newest(decoder.decode(_reading(route, book, reader), records).events))
    whole = _newest(pl.concat(frames)) if frames else None
    rows = None if whole is None else whole.filter(pl.col("op") != "DELETE").sort("key")
    return Published(pl.DataFrame() if rows is None else canonical_frame(reader.table, rows), ends)


async def _from_the_beginning(consumer: AIOKafkaConsumer, route: Route) -> dict[Partition, int]:
    assigned = {TopicPartition(at.topic, at.partition): at for at in route.partitions}
    consumer.assign(list(assigned))
    for each in assigned:
        consumer.seek(each, 0)
    return {assigned[each]: end for each, end in (await consumer.end_offsets(list(assigned))).items()}


async def _at(consumer: AIOKafkaConsumer, ends: Mapping[Partition, int]) -> bool:
    for at, end in ends.items():
        if await consumer.position(TopicPartition(at.topic, at.partition)) < end:
            return False
    return True


def _reading(route: Route, book: SchemaBook, reader: Reader) -> Reading:
    return Reading(route.register, reader.table, route.sources, reader.schema, book.writers)


def _newest(events: pl.DataFrame) -> pl.DataFrame:
    """Newest per key, in the shape that can be merged again."""
    return merge(events).rows.with_columns(tombstone=pl.lit(value=False))


def compare(published: Published, held: pl.DataFrame, positions: Mapping[Partition, Position]) -> Comparison:
    """What differs, by key; both frames with envelope and state columns."""
    behind = sum(max(end - _standing(positions, at), 0) for at, end in published.ends.items())
    if published.rows.is_empty() or held.is_empty():
        return Comparison(held.height, _keys(published.rows), _keys(held), (), behind)
    columns = [name for name in held.columns if name not in ("key", "op")]
    both = published.rows.join(held, on="key", how="inner", suffix="_held")
    unequal = pl.any_horizontal(*(pl.col(name).ne_missing(pl.col(f"{name}_held")) for name in columns))
    return Comparison(
        rows=held.height,
        missing=_keys(published.rows.join(held, on="key", how="anti")),
        extra=_keys(held.join(published.rows, on="key", how="anti")),
        different=_keys(both.filter(unequal)),
        behind=behind,
    )


def _standing(positions: Mapping[Partition, Position], at: Partition) -> int:
    return positions[at].next_offset if at in positions else 0


def _keys(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(frame.get_column("key")) if "key" in frame.columns else ()
