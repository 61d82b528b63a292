"""Schemas and releases as people read them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table

from bus.names import RegisterName, SchemaId
from bus.registry.base import Registered


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    register: RegisterName
    version: int
    schema_id: SchemaId | None
    outcome: Literal["released", "already there", "would be released"]


def outcomes(rows: Iterable[Outcome]) -> Table:
    table = _table("register", "version", "id", "outcome")
    for row in rows:
        table.add_row(row.register, f"v{row.version}", str(row.schema_id or "-"), row.outcome)
    return table


def releases(by_subject: Mapping[str, tuple[Registered, ...]], names: Mapping[str, RegisterName]) -> Table:
    table = _table("subject", "register", "versions", "newest id")
    for subject, versions in by_subject.items():
        numbers = ", ".join(f"v{release.version}" for release in versions)
        newest = str(versions[-1].schema_id) if versions else "-"
        table.add_row(subject, names.get(subject, "(not in the catalogue)"), numbers or "-", newest)
    return table


def fields(schema: Mapping[str, Any]) -> Table:
    """The state's fields; those of a record inside it are indented below it."""
    table = _table("field", "type", "pii", "what it is")
    for field, depth in _walk(_state(schema)):
        table.add_row("  " * depth + field["name"], _type(field["type"]), field.get("pii", "-"), field.get("doc", ""))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "what it is")
    return table


def _state(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    state = next((field for field in schema["fields"] if field["name"] == "state"), None)
    return schema if state is None else _record(state["type"]) or schema


def _walk(record: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[Mapping[str, Any], int]]:
    for field in record["fields"]:
        yield field, depth
        inner = _record(field["type"])
        if inner:
            yield from _walk(inner, depth + 1)


def _record(avro: Any) -> Mapping[str, Any] | None:
    """The record that a type is or holds, where it is written out."""
    if isinstance(avro, list):
        return next((found for branch in avro if (found := _record(branch))), None)
    if not isinstance(avro, dict):
        return None
    return avro if avro.get("type") == "record" else _record(avro.get("items"))


def _type(avro: Any) -> str:
    if isinstance(avro, list):
        return " or ".join(map(_type, avro))
    if not isinstance(avro, dict):
        return str(avro).rpartition(".")[2]
    if avro.get("type") == "array":
        return f"list of {_type(avro.get('items'))}"
    return str(avro.get("logicalType") or avro.get("name") or _type(avro.get("type")))
