"""Confluent's wire format: ``0x00``, schema id in four bytes big-endian, Avro body."""

import struct

from bus.errors import WireInvalid
from bus.names import SchemaId

PREFIX_BYTES = 5
_PREFIX = struct.Struct(">bI")


def prefix(schema_id: SchemaId) -> bytes:
    return _PREFIX.pack(0, schema_id)


def split(value: bytes) -> tuple[SchemaId, bytes]:
    """Schema id and Avro body of a record's value. Raises WireInvalid."""
    if len(value) < PREFIX_BYTES:
        raise WireInvalid(f"value of {len(value)} bytes is shorter than the five-byte prefix")
    magic, schema_id = _PREFIX.unpack_from(value)
    if magic != 0:
        raise WireInvalid(f"first byte is {magic}, expected 0: not written by a Confluent-compatible serializer")
    return SchemaId(schema_id), value[PREFIX_BYTES:]
