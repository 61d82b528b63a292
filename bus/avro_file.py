r"""Avro object container files in memory, which a columnar reader decodes at native speed.

``Obj\x01``, a metadata map, a sync marker, then blocks of count, byte length, records, marker (Avro 1.12, "Object
Container Files"). One block does for any number of records.
"""

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import fastavro

from bus.varint import written

_SYNC = bytes(range(16))  # any 16 bytes do: the file holds one block


def file_header(schema: Mapping[str, Any]) -> bytes:
    """What a file of such records begins with."""
    out = io.BytesIO()
    out.write(b"Obj\x01")
    metadata = {"avro.schema": json.dumps(schema).encode(), "avro.codec": b"null"}
    fastavro.schemaless_writer(out, {"type": "map", "values": "bytes"}, metadata)
    out.write(_SYNC)
    return out.getvalue()


def one_block(header: bytes, count: int, parts: Iterable[bytes | memoryview]) -> bytes:
    """A file of ``count`` records, whose bytes ``parts`` are, one behind the other."""
    parts = tuple(parts)
    size = sum(map(len, parts))
    return b"".join((header, written(count), written(size), *parts, _SYNC))
