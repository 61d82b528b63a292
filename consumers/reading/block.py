r"""Many messages of one schema as one Avro file in memory, which a columnar reader decodes at native speed.

An object container file is ``Obj\x01``, a metadata map, a sync marker, then blocks of count, byte length, records,
marker (Avro 1.12, "Object Container Files"). Messages with one schema id are the records of one block. The five-byte
Confluent prefix is declared as the decoding schema's first field, so that nothing is sliced off and every row must show
it: a message with bytes too few or too many shifts the next row and is found out.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

from bus import wire

PREFIX = "_prefix"
_SYNC = bytes(range(16))  # any 16 bytes do: the file holds one block

_PLAIN = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_LOGICAL = frozenset({"date", "timestamp-micros", "timestamp-millis"})


class Unreadable(Exception):
    """The columnar way cannot serve this schema: its messages go the row way."""


@dataclass(frozen=True, slots=True)
class BlockWriter:
    """Puts messages of one schema behind one another."""

    header: bytes

    def block(self, values: Sequence[bytes]) -> bytes:
        body = b"".join(values)
        return b"".join((self.header, _long(len(values)), _long(len(body)), body, _SYNC))


def block_writer(schema: Mapping[str, Any]) -> BlockWriter:
    """For messages written with ``schema``. Raises Unreadable."""
    fields = [{"name": PREFIX, "type": {"type": "fixed", "name": "Prefix", "size": wire.PREFIX_BYTES}}]
    inlining = _Inlining()
    fields += [{"name": field["name"], "type": inlining.of(field["type"])} for field in schema["fields"]]
    out = io.BytesIO()
    out.write(b"Obj\x01")
    text = json.dumps({"type": "record", "name": "Batch", "fields": fields}).encode()
    fastavro.schemaless_writer(out, {"type": "map", "values": "bytes"}, {"avro.schema": text, "avro.codec": b"null"})
    out.write(_SYNC)
    return BlockWriter(out.getvalue())


def _long(number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    return out.getvalue()


class _Inlining:
    """Rewrites types into ones with the same bytes that Polars reads: named types spelled out, enums as ints."""

    def __init__(self) -> None:
        self._named: dict[str, Mapping[str, Any]] = {}
        self._records = 0

    def of(self, avro: Any) -> Any:
        if isinstance(avro, list):
            return self._union(avro)
        if isinstance(avro, str):
            return self._name(avro)
        if avro["type"] in ("record", "enum"):
            self._named[avro["name"]] = self._named[f"{avro.get('namespace')}.{avro['name']}"] = avro
        return self._complex(avro)

    def _union(self, branches: list[Any]) -> list[Any]:
        if len(branches) != 2 or branches.count("null") != 1:
            raise Unreadable("a union of other than null and one type")
        return [self.of(branch) for branch in branches]

    def _name(self, name: str) -> Any:
        if name in self._named:
            return self._complex(self._named[name])
        if name not in _PLAIN:
            raise Unreadable(f"type {name}")
        return name

    def _complex(self, avro: Mapping[str, Any]) -> Any:
        kind, logical = avro["type"], avro.get("logicalType")
        if kind == "record":
            self._records += 1
            name = f"R{self._records}"
            fields = [{"name": field["name"], "type": self.of(field["type"])} for field in avro["fields"]]
            return {"type": "record", "name": name, "fields": fields}
        if kind == "array":
            return {"type": "array", "items": self.of(avro["items"])}
        if kind == "enum":
            return "int"
        if logical in _LOGICAL:
            return {"type": kind, "logicalType": logical}
        if logical not in (None, "uuid"):
            raise Unreadable(f"logical type {logical}")
        return self.of(kind)
