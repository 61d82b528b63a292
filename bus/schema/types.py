"""Avro types as a tree in which every name is resolved, for comparing schemas part by part."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_NAMED = {"record", "enum", "fixed"}
# What makes two types of the same kind different beside fields, items and branches.
_MARKS = ("logicalType", "precision", "scale", "symbols", "size")


@dataclass(frozen=True, eq=False)
class AvroType:
    """One type of a schema. Names inside it are found in ``named``, by full name."""

    avro: Any
    namespace: str
    named: dict[str, "AvroType"] = field(repr=False)

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> "AvroType":
        whole = cls({}, "", {}).part(schema)
        whole.define()
        return whole

    def define(self) -> None:
        """Take note of every type that is named in here, so that a reference is found in any order of reading."""
        inner = self.avro
        if not isinstance(self.avro, list):
            inner = [f["type"] for f in self.avro.get("fields", ())] + [self.avro.get("items", self.avro.get("values"))]
        for raw in inner:
            if isinstance(raw, dict | list):
                self.part(raw).define()

    def part(self, avro: Any) -> "AvroType":
        """A type written inside this one; definitions are remembered, so that later references find them."""
        if isinstance(avro, str):
            qualified = f"{self.namespace}.{avro}" if self.namespace and "." not in avro else avro
            return self.named.get(qualified) or AvroType({"type": avro}, self.namespace, self.named)
        if isinstance(avro, Mapping) and isinstance(avro.get("type"), Mapping):
            return self.part(avro["type"])
        if not isinstance(avro, Mapping) or avro.get("type") not in _NAMED:
            return AvroType(avro, self.namespace, self.named)
        space, _, name = str(avro["name"]).rpartition(".")
        namespace = space or avro.get("namespace") or self.namespace
        made = AvroType(avro, namespace, self.named)
        self.named[f"{namespace}.{name}" if namespace else name] = made
        return made

    @property
    def kind(self) -> str:
        return "union" if isinstance(self.avro, list) else str(self.avro["type"])

    @property
    def name(self) -> str:
        """Full name of a named type, otherwise its kind."""
        if self.kind not in _NAMED:
            return self.kind
        name = str(self.avro["name"]).rpartition(".")[2]
        return f"{self.namespace}.{name}" if self.namespace else name

    @property
    def fields(self) -> dict[str, tuple[Mapping[str, Any], "AvroType"]]:
        """A record's fields with their types, by name."""
        return {f["name"]: (f, self.part(f["type"])) for f in self.avro.get("fields", ())}

    @property
    def items(self) -> "AvroType":
        return self.part(self.avro.get("items", self.avro.get("values")))

    @property
    def branches(self) -> dict[str, "AvroType"]:
        """A union's types by kind, numbered; any other type is its own only branch."""
        found: dict[str, AvroType] = {}
        for branch in map(self.part, self.avro) if self.kind == "union" else [self]:
            found[f"{branch.kind} {sum(b.kind == branch.kind for b in found.values())}"] = branch
        return found

    @property
    def marks(self) -> tuple[Any, ...]:
        return self.name, *(str(self.avro.get(mark)) for mark in _MARKS)

    def __str__(self) -> str:
        if self.kind == "union":
            return f"[{', '.join(map(str, self.branches.values()))}]"
        return str(self.avro.get("logicalType", self.name))


def walk(
    of: AvroType, path: str = "", inside: tuple[str, ...] = ()
) -> Iterator[tuple[str, Mapping[str, Any], AvroType]]:
    """Every field with its path and type, also of inner records. ``RecursionError`` on a record inside itself."""
    for branch in of.branches.values():
        if branch.kind in ("array", "map"):
            yield from walk(branch.items, f"{path}[]", inside)
        elif branch.kind == "record":
            if branch.name in inside:
                raise RecursionError(branch.name)
            for name, (raw, kind) in branch.fields.items():
                at = f"{path}.{name}" if path else name
                yield at, raw, kind
                yield from walk(kind, at, (*inside, branch.name))


def default_fits(of: AvroType, default: Any) -> bool:
    """Whether a JSON value is a default for the type; for a union: for its first branch (Avro 1.12, Complex types)."""
    if of.kind == "union":
        return bool(of.avro) and default_fits(of.part(of.avro[0]), default)
    if of.kind == "enum":
        return default in of.avro["symbols"]
    if of.kind == "array":
        return isinstance(default, list) and all(default_fits(of.items, item) for item in default)
    if of.kind == "map":
        return isinstance(default, dict) and all(default_fits(of.items, item) for item in default.values())
    if of.kind == "record":
        return isinstance(default, dict) and all(
            default_fits(kind, default[name]) if name in default else "default" in raw
            for name, (raw, kind) in of.fields.items()
        )
    return _SCALAR_FITS[of.kind](default)


def _whole(bits: int) -> Callable[[Any], bool]:
    limit = 2 ** (bits - 1)
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bytes(value: Any) -> bool:
    """Bytes stand in JSON as the code points 0 to 255."""
    return isinstance(value, str) and all(ord(letter) < 256 for letter in value)


_SCALAR_FITS: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "int": _whole(32),
    "long": _whole(64),
    "float": _number,
    "double": _number,
    "string": lambda value: isinstance(value, str),
    "bytes": _bytes,
    "fixed": _bytes,
}
