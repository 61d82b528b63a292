"""What was fetched at one go: as it came, and as records that can be halved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import polars as pl

from bus.names import TopicName
from bus.records import Records, Run
from consumers.stores.model import Partition


@dataclass(frozen=True, slots=True)
class Haul:
    """What was fetched at one go, and where each partition then stands."""

    runs: Sequence[Run]
    count: int
    """Records, those before the position included."""
    offsets: dict[Partition, int]


@dataclass(slots=True)
class Chunk:
    """Records in order per partition, and where each partition stands behind them."""

    records: Records
    offsets: dict[Partition, int]

    @classmethod
    def of(cls, haul: Haul) -> Self:
        return cls(Records.of(haul.runs), haul.offsets)

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """The first half of the records ends, in each partition, where the second begins."""
        middle = len(self.records) // 2
        first, second = Records(self.records.frame[:middle]), Records(self.records.frame[middle:])
        begins = {
            Partition(TopicName(topic), partition): offset
            for topic, partition, offset in second.frame.group_by("topic", "partition")
            .agg(pl.col("offset").first())
            .iter_rows()
        }
        return Chunk(first, {**self.offsets, **begins}), Chunk(second, self.offsets)
