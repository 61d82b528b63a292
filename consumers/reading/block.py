r"""Many messages of one schema as one Avro file in memory, which a columnar reader decodes at native speed.

An object container file is ``Obj\x01``, a metadata map, a sync marker, then blocks of count, byte length, records,
marker (Avro 1.12, "Object Container Files"). Messages with one schema id are the records of one block. Between two
messages stands a seam: a mark that no message can know, and the five-byte Confluent prefix that the next one begins
with. The decoding schema declares it as each record's last field. When as many rows as there are messages all end with
it, each row is exactly its message: one with bytes too few or too many, or made to look like two, shifts a seam.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bus import wire
from bus.avro_file import file_header, one_block
from bus.avro_types import ParsedType
from bus.names import SchemaId

SEAM = "#seam"  # no Avro name starts with #
MARK_BYTES = 8
_MOST_RECORDS = 1_000  # a schema that names its types twice again and again would spell out to billions

_AS_IT_IS = frozenset({"float", "double", "bytes", "string"})
_AS_LONG = frozenset({"int", "long", "enum"})  # the same bytes, and nothing beyond 32 bits is cut


class Unreadable(Exception):
    """The columnar way cannot serve this schema: its messages go the row way."""


@dataclass(frozen=True, slots=True)
class BlockWriter:
    """Puts messages of one schema behind one another."""

    header: bytes
    prefix: bytes

    def block(self, values: Sequence[bytes], mark: bytes) -> bytes:
        """A file of these messages. ``mark``: fresh random bytes."""
        return one_block(
            self.header, len(values), [memoryview(mark.join(values))[wire.PREFIX_BYTES :], mark, self.prefix]
        )


def block_writer(schema: Mapping[str, Any], schema_id: SchemaId) -> BlockWriter:
    """For messages written with ``schema``. Raises Unreadable."""
    rewriting = _Rewriting()
    fields = rewriting.fields(ParsedType(schema))
    fields.append({"name": SEAM, "type": rewriting.fixed(MARK_BYTES + wire.PREFIX_BYTES)})
    return BlockWriter(file_header({"type": "record", "name": "Batch", "fields": fields}), wire.prefix(schema_id))


class _Rewriting:
    """Rewrites types into ones with the same bytes that Polars reads unchanged.

    Polars reads logical types too, but what is beyond their range comes out as something else; ``resolve`` looks at the
    numbers first. Of a boolean it only sees whether the byte is 1, so that is declared as the byte.
    """

    def __init__(self) -> None:
        self._names = 0

    def fields(self, record: ParsedType) -> list[dict[str, Any]]:
        return [{"name": name, "type": self.of(ParsedType(field["type"]))} for name, field in record.fields.items()]

    def fixed(self, size: int) -> dict[str, Any]:
        return {"type": "fixed", "name": self._name(), "size": size}

    def of(self, avro: ParsedType) -> Any:
        if not isinstance(avro.avro, list):
            return self._bare(avro)
        if len(avro.avro) != 2 or not avro.nullable:
            raise Unreadable("a union of other than null and one type")
        bare = self._bare(avro)
        return ["null" if branch == "null" else bare for branch in avro.avro]

    def _bare(self, avro: ParsedType) -> Any:
        if avro.kind == "record":
            return {"type": "record", "name": self._name(), "fields": self.fields(avro)}
        if avro.kind == "array":
            return {"type": "array", "items": self.of(ParsedType(avro.bare["items"]))}
        if avro.kind == "boolean":
            return self.fixed(1)
        if avro.kind in _AS_LONG:
            return "long"
        if avro.kind in _AS_IT_IS:
            return avro.kind
        raise Unreadable(f"type {avro.kind}")

    def _name(self) -> str:
        self._names += 1
        if self._names > _MOST_RECORDS:
            raise Unreadable("a schema too large to spell out")
        return f"T{self._names}"
