"""Batching: a chunk of records, decoded and merged to what one transaction does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from bus.errors import BusError, ClusterMismatch
from consumers.lane.chunk import Chunk
from consumers.lane.standing import Standing
from consumers.merging import merge
from consumers.reading.book import SchemaBook
from consumers.reading.choosing import Decode
from consumers.reading.decoded import park
from consumers.reading.rows import Reading
from consumers.route import Route
from consumers.stores.model import Batch, Partition


class Batcher:
    """Makes batches of chunks whose schemas the book knows. Asks no server, so that it may work in a thread."""

    def __init__(
        self,
        route: Route,
        book: SchemaBook,
        standing: Standing,
        *,
        decode: Decode,
        at_end: Callable[[Partition, int], bool],
        now: Callable[[], datetime],
    ) -> None:
        """``now`` is as of when nothing is missed by who stands at the end, which ``at_end`` tells."""
        self._route, self._book, self._standing = route, book, standing
        self._decode, self._at_end, self._now = decode, at_end, now

    def batch(self, chunk: Chunk, expected: Mapping[Partition, int]) -> Batch:
        """For a store whose positions will be ``expected``."""
        decoded = self._decode(self._reading(), chunk.records)
        merged = merge(decoded.events)
        counts = {**decoded.counts, "superseded": merged.superseded, "tombstone": merged.tombstones}
        return Batch(
            register=self._route.register.name,
            rows=merged.rows.drop("record"),
            advances=self._standing.advances(chunk.offsets, expected, self._at_end, self._now()),
            parked=decoded.parked,
            counts={outcome: n for outcome, n in counts.items() if n},
        )

    def _reading(self) -> Reading:
        reader = self._book.reader
        if reader is None:
            raise ClusterMismatch(
                f"{self._route.register.name}: no schema is released; run `lienthong schemas publish`"
            )
        return Reading(self._route.register, reader.table, self._route.sources, reader.schema, self._book.writers)

    def parking(self, chunk: Chunk, batch: Batch, error: BusError) -> Batch:
        """The same batch with its one record parked instead."""
        [record] = chunk.records
        parked = park(batch.register, record, self._route.sources[record.topic].topic_id, error)
        return replace(batch, rows=batch.rows.clear(), parked=[parked])
