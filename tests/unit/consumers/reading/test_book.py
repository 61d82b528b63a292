import json

import pytest

from bus.errors import CatalogInvalid
from bus.names import SchemaId
from bus.registry import MemoryRegistry, Schema
from consumers.reading.book import SchemaBook, table_of
from tests.unit.consumers.reading.generated import REGISTER, schema_of

STATE = [{"name": "id", "type": "string"}]


@pytest.mark.parametrize("name", ["key", "op", "version", "source", "event_id", "tombstone", "record", "replaced_by"])
def test_a_state_field_named_as_the_envelopes_is_refused(name: str) -> None:
    """Both would be one column of a frame."""
    with pytest.raises(CatalogInvalid, match=f"no field {name}"):
        table_of(REGISTER, schema_of([*STATE, {"name": name, "type": "string"}]))


class Careless(MemoryRegistry):
    """Knows one more schema, which ours would not have taken: a record inside itself."""

    async def schema(self, schema_id: SchemaId) -> Schema:
        endless = {"type": "record", "name": "Endless", "fields": [{"name": "e", "type": ["null", "Endless"]}]}
        return endless if schema_id == 99 else await super().schema(schema_id)


async def test_an_id_whose_schema_cannot_be_read_stays_unknown_and_stops_nothing() -> None:
    registry = Careless()
    sound = await registry.publish(REGISTER.avro_subject, json.dumps(schema_of(STATE)))
    book = SchemaBook(REGISTER, registry)
    await book.learn([sound.schema_id, SchemaId(99), SchemaId(4711)])
    assert set(book.writers) == {sound.schema_id}
