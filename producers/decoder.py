"""Reads an adapter's own events back."""

from bus import wire
from bus.codec import ParsedSchema, decode, parse
from bus.event import Event
from bus.names import RegisterName, SchemaId
from bus.registry.base import SchemaRegistry


class Decoder:
    """Decodes values of one register, whichever released schema wrote them."""

    def __init__(self, register: RegisterName, registry: SchemaRegistry, reader: ParsedSchema | None = None) -> None:
        """With ``reader``, states come in that schema's fields, defaults filled in."""
        self._register = register
        self._registry = registry
        self._reader = reader
        self._writers: dict[SchemaId, ParsedSchema] = {}

    async def event(self, value: bytes) -> Event:
        """Raises an EventRefused where the value is no event of the register."""
        schema_id, body = wire.split(value)
        writer = self._writers.get(schema_id)
        if writer is None:
            writer = parse(await self._registry.schema(schema_id))
            if writer == self._reader:
                writer = self._reader  # nothing to resolve, and decoding is faster without
            self._writers[schema_id] = writer
        return decode(self._register, body, writer, None if writer is self._reader else self._reader)
