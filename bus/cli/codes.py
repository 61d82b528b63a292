"""The code lists that a command's options name."""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from bus.catalog import load_catalog
from bus.cli.options import cluster
from bus.codes import Codebook, CodesFrom, open_codes
from bus.codes.book import codebook
from bus.codes.opening import shipped_lists
from bus.registry import open_registry
from bus.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class ListsWanted:
    """Which lists, and where they are found, as the options say."""

    codes: str | None
    on: datetime | None
    schemas: Path | None
    kafka: str
    registry: str | None
    cluster_file: Path | None
    catalog: Path | None
    prefix: str | None

    def open(self) -> Codebook:
        """As ``open_codes`` has it; where no lists are named, the shipped ones, and nobody is asked."""
        day = self.on.date() if self.on else None
        if self.codes is None:
            return codebook(shipped_lists(self.schemas), {}, day)
        return asyncio.run(self._opened(day))

    async def _opened(self, day: date | None) -> Codebook:
        where = cluster(self.kafka, self.registry, self.cluster_file)
        told = _Told(codes=self.codes, codes_on=day, kafka=where.kafka, schemas=self.schemas)
        async with open_registry(where.registry, where.kafka) as registry:
            return await open_codes(told, load_catalog(self.catalog, prefix=self.prefix), registry)


class _Told(CodesFrom):
    kafka: KafkaSettings
    schemas: Path | None
