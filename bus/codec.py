"""Events to bytes and back, one at a time, by fastavro. Bulk paths do the same on columns and are held equal."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast
from uuid import UUID

import fastavro

from bus import wire
from bus.bounds import check_bounded
from bus.errors import BodyInvalid, CatalogInvalid
from bus.event import Event, Op
from bus.names import AgencyCode, RegisterName, SchemaId

ParsedSchema = dict[str, Any]


def parse(text: Mapping[str, Any]) -> ParsedSchema:
    """A schema prepared for fastavro, every name of a type replaced by the type.

    fastavro resolves a name where the other schema spells the type out, as after fields change places, wrongly or not
    at all. Raises CatalogInvalid when this is no schema, or does not bound its values.
    """
    try:
        parsed = cast("ParsedSchema", fastavro.parse_schema(dict(text)))
    except Exception as error:  # strangers' schemas break fastavro in ways of their own: KeyError, RecursionError, …
        raise CatalogInvalid(f"not an Avro schema that can be read ({type(error).__name__}: {error})") from error
    check_bounded(parsed)
    return cast("ParsedSchema", _spelled_out(parsed, {}))


def _spelled_out(avro: Any, named: dict[str, Any]) -> Any:
    if isinstance(avro, list):
        return [_spelled_out(branch, named) for branch in avro]
    if isinstance(avro, str):
        return named.get(avro, avro)
    found = {**avro, **{part: _spelled_out(avro[part], named) for part in ("items", "values") if part in avro}}
    if "fields" in avro:
        found["fields"] = [{**field, "type": _spelled_out(field["type"], named)} for field in avro["fields"]]
    if "name" in avro:
        named[avro["name"]] = found
    return found


@dataclass(frozen=True, slots=True)
class Encoder:
    """Writes events of one register with one released schema."""

    schema_id: SchemaId
    schema: ParsedSchema

    def encode(self, event: Event) -> bytes:
        return wire.prefix(self.schema_id) + body(self.schema, record(event))


def body(schema: ParsedSchema, values: Mapping[str, Any]) -> bytes:
    """The Avro body of one record."""
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, values)
    return out.getvalue()


def record(event: Event) -> dict[str, Any]:
    """The Avro record of an event, fields in the envelope's order."""
    return {
        "event_id": str(event.event_id),
        "op": str(event.op),
        "key": event.key,
        "version": event.version,
        "source": event.source,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "replaced_by": event.replaced_by,
        "state": event.state,
    }


def decode(register: RegisterName, body: bytes, writer: ParsedSchema, reader: ParsedSchema | None = None) -> Event:
    """One event from its Avro body, resolved to the reader's schema where one is given.

    Raises BodyInvalid when the body is cut, has bytes too many, or does not resolve.
    """
    source = BytesIO(body)
    try:
        found = fastavro.schemaless_reader(source, writer, reader)
    except Exception as error:  # fastavro raises whatever the bytes provoke: EOFError, IndexError, KeyError, …
        raise BodyInvalid(f"Avro body of {len(body)} bytes does not decode ({type(error).__name__})") from error
    if source.tell() != len(body):
        raise BodyInvalid(f"Avro body has {len(body) - source.tell()} bytes after its end")
    return _event(register, found)


def _event(register: RegisterName, found: Any) -> Event:
    try:
        return Event(
            register=register,
            event_id=UUID(str(found["event_id"])),
            op=Op(found["op"]),
            key=found["key"],
            version=found["version"],
            source=AgencyCode(found["source"]),
            occurred_at=found["occurred_at"],
            recorded_at=found["recorded_at"],
            replaced_by=found["replaced_by"],
            state=found["state"],
        )
    except (KeyError, ValueError, TypeError) as error:
        raise BodyInvalid(f"Avro body is not an event of {register} ({type(error).__name__})") from error
