"""The book of schemas: every writer's schema met so far, and the reader's schema and table they are resolved to."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bus import codec
from bus.avro_types import state_types
from bus.catalog import Register
from bus.errors import CatalogInvalid, ClusterMismatch, SchemaUnknown
from bus.names import SchemaId
from bus.registry import Registered, SchemaRegistry
from consumers.reading.decoded import OWN
from consumers.stores.model import Table


@dataclass(frozen=True, slots=True)
class Reader:
    """What every event is resolved to: the newest released version."""

    version: int
    schema: codec.ParsedSchema
    table: Table


class SchemaBook:
    """Grows as new ids are met; a newer version of the register widens the reader."""

    def __init__(self, register: Register, registry: SchemaRegistry) -> None:
        self._register = register
        self._registry = registry
        self.writers: dict[SchemaId, codec.ParsedSchema] = {}
        self.reader: Reader | None = None

    @property
    def fingerprint(self) -> str | None:
        """Of the reader's table; None before the first refresh."""
        return None if self.reader is None else self.reader.table.fingerprint

    async def refresh(self) -> Reader:
        """Read the register's released versions; raises ClusterMismatch when there is none."""
        versions = await self._registry.versions(self._register.avro_subject)
        if not versions:
            raise ClusterMismatch(
                f"{self._register.name}: no schema is released as {self._register.avro_subject}; "
                "run `lienthong schemas publish`",
            )
        for released in versions:
            self.writers[released.schema_id] = codec.parse(released.schema)
        if self.reader is None or versions[-1].version > self.reader.version:
            self.reader = _reader(self._register, versions[-1])
        return self.reader

    async def reader_of(self, fingerprint: str) -> Reader:
        """The newest released version under which the register's table is one that a store has.

        Raises ClusterMismatch when there is none.
        """
        for released in reversed(await self._registry.versions(self._register.avro_subject)):
            reader = _reader(self._register, released)
            if reader.table.fingerprint == fingerprint:
                return reader
        raise ClusterMismatch(
            f"{self._register.name}: the replica's table is of no released schema; run `lienthong replica run` first"
        )

    async def learn(self, ids: Iterable[SchemaId]) -> None:
        """Know these ids' schemas; an id without one that can be read stays unknown, and its events are parked."""
        missing = [schema_id for schema_id in ids if schema_id not in self.writers]
        if missing:
            await self.refresh()
        for schema_id in missing:
            if schema_id not in self.writers:
                await self._fetch(schema_id)

    async def _fetch(self, schema_id: SchemaId) -> None:
        try:
            self.writers[schema_id] = codec.parse(await self._registry.schema(schema_id))
        except (SchemaUnknown, CatalogInvalid):
            return


def _reader(register: Register, released: Registered) -> Reader:
    return Reader(released.version, codec.parse(released.schema), table_of(register, released.schema))


def table_of(register: Register, schema: Mapping[str, object]) -> Table:
    """How a register lies in a store under one schema version. Raises CatalogInvalid where it cannot."""
    columns = state_types(schema)
    taken = sorted(columns.keys() & OWN)
    if taken:
        raise CatalogInvalid(f"{register.name}: a state has no field {taken[0]}, which every event has; rename it")
    shape = json.dumps({name: str(dtype) for name, dtype in columns.items()})
    return Table(
        register=register.name,
        subject=register.subject,
        key_field=register.key_field,
        subject_key=register.subject_key,
        columns=columns,
        fingerprint=hashlib.sha256(shape.encode()).hexdigest()[:16],
    )
