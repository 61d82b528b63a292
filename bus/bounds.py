"""Whether a message's length bounds its values, so that no few bytes can ask a decoder for endless work.

A record inside itself nests as deep as a message is long, which ends the process inside fastavro's native recursion.
An array whose items take no bytes may claim 2**60 of them in ten bytes. Types that name the one before twice, forty in
a row, are few bytes too, and 2**40 types where fastavro tells in an error which schema did not fit.
"""

from collections.abc import Mapping
from typing import Any

from bus.errors import CatalogInvalid

_RECORDS = ("record", "error")
_NAMED = (*_RECORDS, "enum", "fixed")
MOST_TYPES = 20_000  # of a schema whose names are spelled out; the largest of ours has 60


def check_bounded(schema: Mapping[str, Any]) -> None:
    """Raise CatalogInvalid for a schema, parsed by fastavro, that holds such a record or array, or so many types."""
    _Widths().of(schema)
    if _types(schema, {}) > MOST_TYPES:
        raise CatalogInvalid(f"more than {MOST_TYPES} types when each name is spelled out; use fewer records")


def _types(avro: Any, named: dict[str, int]) -> int:
    """How many there are in a schema in which no record holds itself."""
    if isinstance(avro, list):
        return 1 + sum(_types(branch, named) for branch in avro)
    if isinstance(avro, str):
        return named.get(avro, 1)
    inner = [avro[part] for part in ("items", "values") if part in avro]
    inner += [field["type"] for field in avro.get("fields", ())]
    found = 1 + sum(_types(each, named) for each in inner)
    if "name" in avro:
        named[avro["name"]] = found
    return found


class _Widths:
    """Fewest bytes of a value of each type."""

    def __init__(self) -> None:
        self._named: dict[str, int | None] = {}
        """None while the type itself is being read."""

    def of(self, avro: Any) -> int:
        if isinstance(avro, list):
            for branch in avro:
                self.of(branch)
            return 1
        if isinstance(avro, str):
            return self._name(avro)
        if avro["type"] in _NAMED:
            self._named[avro["name"]] = None
            self._named[avro["name"]] = width = self._complex(avro)
            return width
        return self._complex(avro)

    def _name(self, name: str) -> int:
        width = self._named.get(name, 0 if name == "null" else 1)
        if width is None:
            raise CatalogInvalid(f"record {name} holds itself, so that no message bounds its depth; use a flat form")
        return width

    def _complex(self, avro: Mapping[str, Any]) -> int:
        kind = avro["type"]
        if kind in _RECORDS:
            if not all(isinstance(field["name"], str) for field in avro["fields"]):
                raise CatalogInvalid("a field whose name is no text")  # fastavro asks for it to be there only
            return sum([self.of(field["type"]) for field in avro["fields"]])
        if kind == "array" and self.of(avro["items"]) == 0:
            raise CatalogInvalid("an array's items take no bytes, so that no message bounds their number")
        if kind == "map":
            self.of(avro["values"])
        return int(avro["size"]) if kind == "fixed" else self._name(kind)
