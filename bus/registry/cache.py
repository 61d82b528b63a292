"""A registry that remembers: in memory, and on disk for the next process."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bus.errors import RegistryUnavailable, SchemaUnknown
from bus.names import SchemaId
from bus.registry.base import Registered, Schema, SchemaRegistry
from bus.registry.flights import Flights
from bus.registry.shelf import Shelf

UNKNOWN_SECONDS = 10.0
"""How long an id stays unknown without asking again: a poison event must not ask the registry at every retry, and a
schema that was published late is found soon."""


class Source(SchemaRegistry, Protocol):
    """A registry that can be told from others."""

    async def identity(self) -> str | None:
        """What no other registry has, so that ids of two never mix; None while there is nothing to remember yet."""
        ...


class CachedRegistry:
    """Asks its source for each id once. While the source is away, what was ever seen is still known.

    ``versions`` asks each time, because there may be a new one, and answers from memory or disk only when the source is
    away. The ids of two registries never mix on disk, not even when one takes over the other's address.
    """

    def __init__(
        self, source: Source, shelf: Shelf, address: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._shelf = shelf
        self._address = address
        self._clock = clock
        self._identity: str | None = None
        self._sure = False
        """Whether the source has said who it is; else ``_identity`` is who it was when it last answered."""
        self._schemas: dict[SchemaId, Schema] = {}
        self._versions: dict[str, tuple[Registered, ...]] = {}
        self._unknown_until: dict[SchemaId, float] = {}
        self._fetches: Flights[SchemaId, Schema] = Flights()

    async def schema(self, schema_id: SchemaId) -> Schema:
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        if self._clock() < self._unknown_until.get(schema_id, 0.0):
            raise SchemaUnknown(f"schema id {schema_id}: the registry had none such a moment ago")
        return await self._fetches.share(schema_id, lambda: self._fetch(schema_id))

    async def versions(self, avro_subject: str) -> tuple[Registered, ...]:
        try:
            found = await self._source.versions(avro_subject)
        except RegistryUnavailable as away:
            return await self._last_heard(avro_subject, away)
        if found:
            await self._keep(avro_subject, found)
        return found

    async def subjects(self) -> tuple[str, ...]:
        return await self._source.subjects()

    async def publish(self, avro_subject: str, text: str) -> Registered:
        return await self._source.publish(avro_subject, text)

    async def _fetch(self, schema_id: SchemaId) -> Schema:
        away = await self._identify()
        kept = self._shelf.schema(self._identity, schema_id) if self._identity else None
        if kept is None and away:
            raise away
        found = kept or await self._ask(schema_id)
        if kept is None and self._identity:
            self._shelf.keep_schema(self._identity, schema_id, json.dumps(found))
        self._schemas[schema_id] = found
        return found

    async def _ask(self, schema_id: SchemaId) -> Schema:
        try:
            return await self._source.schema(schema_id)
        except SchemaUnknown:
            now = self._clock()
            waiting = {each: until for each, until in self._unknown_until.items() if until > now}
            self._unknown_until = {**waiting, schema_id: now + UNKNOWN_SECONDS}
            raise

    async def _last_heard(self, avro_subject: str, away: RegistryUnavailable) -> tuple[Registered, ...]:
        """What was last heard of the subject; raises ``away`` when that is nothing."""
        await self._identify()
        kept = self._versions.get(avro_subject)
        if kept is None and self._identity:
            kept = self._shelf.versions(self._identity, avro_subject)
        if kept is None:
            raise away
        return kept

    async def _keep(self, avro_subject: str, found: Sequence[Registered]) -> None:
        await self._identify()
        self._versions[avro_subject] = tuple(found)
        for release in found:
            self._schemas[release.schema_id] = release.schema
        if self._sure and self._identity:
            self._shelf.keep_versions(self._identity, avro_subject, found)
            for release in found:
                self._shelf.keep_schema(self._identity, release.schema_id, release.text)

    async def _identify(self) -> RegistryUnavailable | None:
        """Learn which registry this is. While it does not answer: which it was, and the error."""
        if self._sure:
            return None
        try:
            identity = await self._source.identity()
        except RegistryUnavailable as error:
            self._identity = self._identity or self._shelf.identity(self._address)
            return error
        if self._identity not in {None, identity}:  # another registry answers at this address than before
            self._schemas.clear()
            self._versions.clear()
        self._identity = identity
        self._sure = identity is not None
        if identity is not None:
            self._shelf.keep_identity(self._address, identity)
        return None
