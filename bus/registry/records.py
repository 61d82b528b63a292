"""Records of the schemas topic, as Confluent's Schema Registry and Karapace write them.

Key and value are JSON. A record that neither names a schema nor takes one away says nothing to us and is counted.
"""

import json
from dataclasses import dataclass
from typing import Literal

import fastavro
from pydantic import BaseModel, Field, ValidationError

from bus.names import SchemaId
from bus.registry.base import Registered, Schema

MAX_ID = 2**31 - 1
CONTEXT = ":."
"""Starts the subjects of Confluent's other contexts, whose ids are numbered apart from ours."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one subject."""

    avro_subject: str
    version: int
    schema_id: SchemaId
    text: str | None
    """None where this is no Avro record that stands by itself: it takes an id and a version, and no event uses it."""
    deleted: bool = False
    """Softly: no longer offered to writers, still there for readers."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A tombstone: this version is gone for good."""

    avro_subject: str
    version: int


@dataclass(frozen=True, slots=True)
class SubjectDeleted:
    """All versions up to this one were deleted softly."""

    avro_subject: str
    through: int


@dataclass(frozen=True, slots=True)
class Skipped:
    reason: Literal["other_kind", "other_context", "garbage"]


class _Key(BaseModel):
    keytype: str
    subject: str | None = None
    version: int = 0


class _Value(BaseModel):
    subject: str
    version: int = Field(ge=1)
    id: int = Field(ge=1, le=MAX_ID)
    text: str = Field(alias="schema")
    schema_type: str | None = Field(default="AVRO", alias="schemaType")
    references: list[object] | None = None
    deleted: bool = False


class _Deletion(BaseModel):
    version: int


def read(key: bytes | None, value: bytes | None) -> Entry | Removed | SubjectDeleted | Skipped:
    """What one record says. Whatever is not understood is Skipped, never an error."""
    try:
        named = _Key.model_validate_json(key or b"")
        if named.keytype not in {"SCHEMA", "DELETE_SUBJECT"} or not named.subject:
            return Skipped("other_kind")
        if named.subject.startswith(CONTEXT):
            return Skipped("other_context")
        return _said(named, value)
    except (ValidationError, RecursionError):
        return Skipped("garbage")


def _said(key: _Key, value: bytes | None) -> Entry | Removed | SubjectDeleted | Skipped:
    subject = key.subject or ""
    if key.keytype == "DELETE_SUBJECT":
        return SubjectDeleted(subject, _Deletion.model_validate_json(value).version) if value else Skipped("other_kind")
    if value is None:
        return Removed(subject, key.version)
    found = _Value.model_validate_json(value)
    alone = found.schema_type in {None, "AVRO"} and not found.references
    text = found.text if alone and record_schema(found.text) is not None else None
    return Entry(subject, found.version, SchemaId(found.id), text, found.deleted)


def record_schema(text: str) -> Schema | None:
    """The schema, if its text is an Avro record that needs no other schema; an event's value is never anything else."""
    try:
        schema = json.loads(text)
        fastavro.parse_schema(schema)
    except Exception:  # noqa: BLE001 - strangers' schemas break fastavro in ways of their own: KeyError, RecursionError, …
        return None
    return schema if isinstance(schema, dict) and schema.get("type") == "record" else None


def write(release: Registered) -> tuple[bytes, bytes]:
    """Key and value that release one version, keys in Confluent's order."""
    key = {"keytype": "SCHEMA", "subject": release.avro_subject, "version": release.version, "magic": 1}
    value = {
        "subject": release.avro_subject,
        "version": release.version,
        "id": release.schema_id,
        "schema": release.text,
        "deleted": False,
    }
    return _json(key), _json(value)


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
