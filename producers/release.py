"""Which schema an adapter writes with: the newest that the registry has released and this wheel ships."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import cast

from bus.bulk import BulkEncoder
from bus.catalog import Register
from bus.codec import Encoder, ParsedSchema
from bus.errors import ClusterMismatch
from bus.names import SchemaId
from bus.registry.base import SchemaRegistry
from bus.schema.avsc import load_register
from bus.schema.codes import CodeList
from bus.schema.fields import RegisterSchema


@dataclass(frozen=True, slots=True)
class Release:
    """A schema of ours together with the id under which everyone can read it."""

    schema: RegisterSchema
    schema_id: SchemaId
    encoder: Encoder
    """One event at a time."""
    bulk: BulkEncoder
    """Frames of events."""


async def newest_release(
    register: Register,
    registry: SchemaRegistry,
    schemas: Traversable | None = None,
    codes: Mapping[str, CodeList] | None = None,
) -> Release:
    """Never registers anything. ``codes`` are the lists that its rules go by, where not those beside the schemas.

    Raises ClusterMismatch where none of our versions is released.
    """
    released = {_canonical(found.text): found.schema_id for found in await registry.versions(register.avro_subject)}
    for schema in reversed(load_register(register.name, schemas, codes)):
        schema_id = released.get(_canonical(schema.text))
        if schema_id is not None:
            parsed = cast("ParsedSchema", schema.parsed)
            return Release(
                schema, schema_id, Encoder(schema_id, parsed), BulkEncoder(schema_id, json.loads(schema.text))
            )
    raise ClusterMismatch(
        f"{register.name}: none of its schema versions here is released under {register.avro_subject}; "
        "release them with: lienthong schemas publish"
    )


def _canonical(text: str) -> str:
    """The same for any spelling of the same JSON: some registries give a schema back with other blanks."""
    return json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False)
