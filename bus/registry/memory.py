"""The registry's twin without a network: the same rules over a ledger that nobody else sees."""

from bus.errors import SchemaUnknown
from bus.names import SchemaId
from bus.registry import records
from bus.registry.base import Registered, Schema
from bus.registry.ledger import Ledger
from bus.registry.releasing import settled


class MemoryRegistry:
    """Lives and dies with its process; for tests and for trying things out."""

    def __init__(self) -> None:
        self._ledger = Ledger()

    async def schema(self, schema_id: SchemaId) -> Schema:
        found = self._ledger.schema(schema_id)
        if found is None:
            raise SchemaUnknown(f"schema id {schema_id}: this registry has none such")
        return found

    async def versions(self, avro_subject: str) -> tuple[Registered, ...]:
        return self._ledger.versions(avro_subject)

    async def subjects(self) -> tuple[str, ...]:
        return self._ledger.subjects()

    async def publish(self, avro_subject: str, text: str) -> Registered:
        there = settled(avro_subject, text, self._ledger.versions(avro_subject))
        if there is not None:
            return there
        release = self._ledger.next_release(avro_subject, text)
        self._ledger.add(*records.write(release))
        return release
