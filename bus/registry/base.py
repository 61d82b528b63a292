"""What adapters and replicas need of a schema registry, whichever way the ids come."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from bus.names import SchemaId

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """One released version of one subject."""

    avro_subject: str
    version: int
    schema_id: SchemaId
    text: str
    """The schema's JSON, byte for byte as it was published."""

    @property
    def schema(self) -> Schema:
        return cast("Schema", json.loads(self.text))


class SchemaRegistry(Protocol):
    """Ids to schemas and back. Everything ever seen is remembered, so that a registry that is away stops nobody."""

    async def schema(self, schema_id: SchemaId) -> Schema:
        """The schema with this id. Raises SchemaUnknown when there is none, RegistryUnavailable when nobody can say."""
        ...

    async def versions(self, avro_subject: str) -> tuple[Registered, ...]:
        """All released versions, ascending; empty for an unknown subject."""
        ...

    async def subjects(self) -> tuple[str, ...]: ...

    async def publish(self, avro_subject: str, text: str) -> Registered:
        """Release a new version and give its id; releasing the same text again gives what is there.

        Raises SchemaIncompatible. Only ``lienthong schemas publish`` calls this; adapters and replicas never do.
        """
        ...
