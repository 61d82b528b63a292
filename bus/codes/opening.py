"""The code lists that an adapter's settings name, newest first; what is away is done without, and said so."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from bus.catalog import Catalog
from bus.codes import copy
from bus.codes.book import Codebook, codebook
from bus.codes.copy import Copy
from bus.codes.replica import is_url, read_replica
from bus.codes.topics import SUBJECT, code_topics, read_topics
from bus.errors import Unavailable
from bus.names import RegisterName
from bus.registry.base import SchemaRegistry
from bus.schema.codes import CodeList, load_codes
from bus.settings import KafkaSettings

CITY_TIME = ZoneInfo("Asia/Ho_Chi_Minh")


class Told(Protocol):
    """What every adapter's settings say of the bus and of its code lists."""

    @property
    def codes(self) -> str | None: ...
    @property
    def codes_on(self) -> date | None: ...
    @property
    def kafka(self) -> KafkaSettings: ...
    @property
    def schemas(self) -> Path | None: ...


async def open_codes(told: Told, catalog: Catalog, registry: SchemaRegistry, now: datetime | None = None) -> Codebook:
    """The lists to clean and validate by.

    From a replica they are as it holds them. A directory keeps them as the code topics have them: they are read anew
    where something was written since, and while Kafka is away the kept ones hold. What is published nowhere is the
    wheel's. Raises ConfigInvalid, and DatabaseUnavailable for a replica that was named and is not there.
    """
    base = shipped_lists(told.schemas)
    if told.codes is None:
        return codebook(base, {}, told.codes_on)
    moment = now or datetime.now(UTC)
    day = told.codes_on or moment.astimezone(CITY_TIME).date()
    if is_url(told.codes):
        states = await asyncio.to_thread(read_replica, told.codes, catalog.of_subject(SUBJECT))
        missed = None if any(states.values()) else "the replica holds none of the code registers"
        return codebook(base, states, day, where="from the replica", missed=missed)
    copies, missed = await _copies(Path(told.codes), told.kafka, catalog, registry, moment)
    oldest = min((each.read_at for each in copies.values()), default=moment)
    return codebook(
        base,
        {name: each.states for name, each in copies.items()},
        day,
        where=f"read {oldest.astimezone(CITY_TIME):%Y-%m-%d %H:%M}",
        missed=missed or (None if any(each.states for each in copies.values()) else "none are published"),
    )


async def _copies(
    directory: Path, settings: KafkaSettings, catalog: Catalog, registry: SchemaRegistry, now: datetime
) -> tuple[dict[RegisterName, Copy], str | None]:
    known = copy.load(directory, code_topics(catalog))
    try:
        found = await read_topics(settings, catalog, registry, known, now)
    except Unavailable as error:
        return known, f"the code topics could not be read ({error.reason})"
    for each in found:
        copy.keep(directory, each)
    return {each.register: each for each in found}, None


def shipped_lists(schemas: Path | None) -> Mapping[str, CodeList]:
    """The code lists of a schemas folder that has some, otherwise the wheel's."""
    return load_codes(schemas if schemas is not None and (schemas / "codes").is_dir() else None)
