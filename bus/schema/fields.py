"""What a register's schema says, as values: fields, records and their rules, resolved and ready to run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bus.names import RegisterName
from bus.schema.agreements import BoundAgreement
from bus.schema.checks import Rule

Kind = Literal["string", "int", "long", "float", "double", "boolean", "date", "timestamp", "record", "array"]
Pii = Literal["none", "personal", "sensitive"]
PII_CLASSES: tuple[Pii, ...] = ("none", "personal", "sensitive")
"""From the least to the most protected."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Field:
    """One field of a state or of a record inside it."""

    name: str
    kind: Kind
    avro: Any
    """The type as the schema writes it."""
    nullable: bool
    has_default: bool
    default: Any
    doc: str
    doc_vi: str
    pii: Pii
    rules: tuple[Rule, ...] = ()
    """In the order in which they are tried; the first broken one is told."""
    codes: str | None = None
    """Name of the code list that holds the allowed values."""
    record: "Record | None" = None
    """With kind ``record``."""
    items: "Record | None" = None
    """With kind ``array``: a record whose single field, without a name, is the item."""

    @property
    def scalar(self) -> bool:
        return self.kind not in {"record", "array"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    name: str
    doc: str
    doc_vi: str
    fields: tuple[Field, ...]
    agreements: tuple[BoundAgreement, ...] = ()

    @property
    def scalars(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.scalar)

    @property
    def nested(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if not f.scalar)


@dataclass(frozen=True, eq=False, kw_only=True)
class RegisterSchema:
    """One released or coming version of a register's schema."""

    register: RegisterName
    version: int
    text: str
    """The JSON that is published: compact, in the file's own order, the same on every machine."""
    parsed: Mapping[str, Any] = field(repr=False)
    """The same schema as fastavro reads it."""
    state: Record = field(repr=False)

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.state.fields
