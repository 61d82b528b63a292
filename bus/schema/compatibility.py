"""Whether a new version of a schema lives with all earlier ones, both ways: ``FULL_TRANSITIVE`` and a little more.

The comparison here goes field by field, so that each finding has a place and a remedy, and sees what the official
``avro`` package does not: the envelope, full names, logical types, defaults that fit, pii classes. The package has the
last word.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema
from avro.schema import parse as parse_avro

from bus.schema.envelope import check_envelope
from bus.schema.fields import PII_CLASSES
from bus.schema.types import AvroType, default_fits, walk

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """One reason why a version may not be released."""

    rule: str
    path: str
    """Field path such as ``state.permanent_address.ward_code``; empty for the whole schema."""
    message: str
    """What is wrong, against which version, and the remedy."""


def check_compatible(new: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> list[Incompatibility]:
    """What keeps ``new`` from being released after ``earlier`` (ascending, from v1); empty if it may be.

    Both directions with every earlier version: a replica that rebuilds reads old events with the new schema, and an
    agency that has not moved yet reads new events with an old one.
    """
    found = list(_alone(new))
    for version, old in enumerate(() if found else earlier, 1):
        found += list(_fields(AvroType.of(new), AvroType.of(old), "", f"v{version}")) or _verdict(
            new, old, f"v{version}"
        )
    return found


def _alone(schema: Mapping[str, Any]) -> Iterator[Incompatibility]:
    """What is wrong with the schema by itself."""
    try:
        _parsed(schema)
        fields = list(walk(AvroType.of(schema)))
    except (AvroException, TypeError, ValueError, KeyError, AttributeError) as error:
        yield Incompatibility("unreadable", "", f"not a valid Avro schema: {error}; correct it")
        return
    except RecursionError as error:
        yield Incompatibility("unreadable", "", f"record {error} holds itself, which no column can; use a flat form")
        return
    for problem in check_envelope(schema):
        path, _, what = problem.partition(": ")
        yield Incompatibility("envelope_changed", path, f"{what}; restore it")
    for path, field, kind in fields:
        names = [field["name"], *field.get("aliases", ())]
        if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
            yield Incompatibility("name_invalid", path, "a name is a letter or _, then letters, digits, _; rename it")
        if "default" in field and not default_fits(kind, field["default"]):
            first = " (of a union: for its first type)" if kind.kind == "union" else ""
            yield Incompatibility("default_invalid", path, f"the default is no value of its type{first}; correct it")


def _fields(new: AvroType, old: AvroType, path: str, version: str) -> Iterator[Incompatibility]:
    """Compare two records: pairs by name or alias, and what only one of them has."""
    if new.name != old.name:
        yield Incompatibility("name_changed", path, f"record {old.name} in {version}, {new.name} now; restore the name")
    mine, theirs, renamed = new.fields, old.fields, _before(new, old)
    for name, (field, _) in mine.items():
        if name not in renamed and "default" not in field:
            yield _no_default(_at(path, name), f"events of {version} lack this field; give it a default")
    for name, (field, _) in theirs.items():
        if name not in mine and "default" not in field:
            yield _no_default(
                _at(path, name), f"readers of {version} need this field, which has no default there; keep it"
            )
    for name, before in renamed.items():
        yield from _pair(mine[name], theirs[before], _at(path, name), version)


def _before(new: AvroType, old: AvroType) -> dict[str, str]:
    """Field names of ``new`` with their names in ``old``; the name itself goes before an alias."""
    pairs = (
        (n, next((a for a in (n, *f.get("aliases", ())) if a in old.fields), None)) for n, (f, _) in new.fields.items()
    )
    return {name: before for name, before in pairs if before is not None}


def _pair(
    new: tuple[Mapping[str, Any], AvroType], old: tuple[Mapping[str, Any], AvroType], at: str, version: str
) -> Iterator[Incompatibility]:
    was, now = old[0].get("pii"), new[0].get("pii")
    if was in PII_CLASSES and (now not in PII_CLASSES or PII_CLASSES.index(now) < PII_CLASSES.index(was)):
        yield Incompatibility(
            "pii_lowered", at, f"{was} in {version}, {now} now; a class may only be raised: restore it"
        )
    yield from _types(new[1], old[1], at, version)


def _types(new: AvroType, old: AvroType, at: str, version: str) -> Iterator[Incompatibility]:
    """Both ways nothing but fields with defaults can change: a widened type is unreadable for the earlier reader."""
    mine, theirs = new.branches, old.branches
    if mine.keys() != theirs.keys():
        yield _changed(new, old, at, version)
        return
    for branch, inner in mine.items():
        other = theirs[branch]
        if inner.kind == "record":
            yield from _fields(inner, other, at, version)
        elif inner.kind in ("array", "map"):
            yield from _types(inner.items, other.items, f"{at}[]", version)
        elif inner.marks != other.marks:
            yield _changed(inner, other, at, version)


def _verdict(new: Mapping[str, Any], old: Mapping[str, Any], version: str) -> list[Incompatibility]:
    """The official package's word, should it see what the comparison above does not."""
    pairs = ((new, old, f"cannot read events of {version}"), (old, new, f"cannot be read by readers of {version}"))
    found = []
    for reader, writer, what in pairs:
        checker: Any = ReaderWriterCompatibilityChecker
        result = checker().get_compatibility(_parsed(reader), _parsed(writer))
        if result.compatibility is not SchemaCompatibilityType.compatible:
            said = "; ".join(sorted(map(str, result.messages)))
            found.append(Incompatibility("avro", "", f"{what}: {said}; undo the change"))
    return found


def _parsed(schema: Mapping[str, Any]) -> Schema:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the package warns of logical types it does not know; we compare them ourselves
        return parse_avro(json.dumps(schema))


def _changed(new: AvroType, old: AvroType, at: str, version: str) -> Incompatibility:
    told = f"was {old} in {version}, is {new} now; restore it, or add a field of the new type beside it"
    return Incompatibility("type_changed", at, told)


def _no_default(path: str, message: str) -> Incompatibility:
    return Incompatibility("default_missing", path, message)


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
