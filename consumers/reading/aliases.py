"""The reader's schema as one writer's events need it: the field's own name goes before an alias, the first alias next.

While a field is renamed, a version may hold it under both names. fastavro takes the writer's fields one after another,
so that the later wins or all fails; with the aliases that are not needed taken away, it cannot.
"""

from collections.abc import Mapping
from typing import Any


def aimed(reader: Any, writer: Any) -> Any:
    """Both given by ``codec.parse``."""
    if isinstance(reader, list):
        return [aimed(branch, writer) for branch in reader]
    if not isinstance(reader, Mapping):
        return reader
    branches = writer if isinstance(writer, list) else [writer]
    written = next((each for each in branches if isinstance(each, Mapping) and each["type"] == reader["type"]), None)
    if written is None:
        return reader
    if "items" in reader:
        return {**reader, "items": aimed(reader["items"], written["items"])}
    there = {field["name"]: field["type"] for field in written.get("fields", ())}
    return {**reader, "fields": [_field(each, there) for each in reader["fields"]]} if "fields" in reader else reader


def _field(reader: Mapping[str, Any], there: Mapping[str, Any]) -> Mapping[str, Any]:
    name = next((each for each in (reader["name"], *reader.get("aliases", ())) if each in there), None)
    kept = {part: value for part, value in reader.items() if part != "aliases"}
    if name is None:
        return kept
    return {
        **kept,
        **({"aliases": [name]} if name != reader["name"] else {}),
        "type": aimed(reader["type"], there[name]),
    }
