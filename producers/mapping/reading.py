"""Reads a mapping file; what is wrong with it is told with file, key and remedy."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bus.errors import ConfigInvalid
from bus.toml import parse_toml
from producers.mapping.document import KEYS, MappingFile, SourceForm


def read_mapping(path: Path) -> tuple[MappingFile, str]:
    """The file and its text. Raises ConfigInvalid."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = parse_toml(text)
    except OSError as error:
        raise ConfigInvalid(f"{path}: {error.strerror}; name a mapping file that can be read") from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path}: not UTF-8; save the mapping file as UTF-8, whatever its source is in") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{path}: not TOML: {error}") from error
    return parse_mapping(raw, str(path)), text


def parse_mapping(raw: Mapping[str, Any], name: str) -> MappingFile:
    fields = raw.get("fields")
    try:
        given = {**raw, "fields": dict(_fields(fields, ""))} if isinstance(fields, Mapping) else raw
    except RecursionError as error:
        raise ConfigInvalid(
            f"{name}: fields: tables inside tables without end; name a field as the register does"
        ) from error
    try:
        return MappingFile.model_validate(given)
    except ValidationError as error:
        raise ConfigInvalid(f"{name}: {_told(error)}") from error


def _fields(given: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    """Fields by name, also where dots in a name made tables in tables; a field of one string is its column."""
    for name, value in given.items():
        if isinstance(value, Mapping) and value and not KEYS & value.keys() and all(map(_is_part, value.values())):
            yield from _fields(value, f"{at}{name}.")
        else:
            yield at + name, {"from": value} if isinstance(value, str | list) else value


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping | str)


def _told(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = sorted(KEYS if first["loc"][0] == "fields" else _known(first["loc"]))
        what = f"no such key; known are {', '.join(known)}"
    elif first["type"] == "missing":
        what = "missing; add it"
    more = len(error.errors()) - 1
    return f"{where}: {what}" + (f" (and {more} more)" if more else "")


def _known(place: tuple[int | str, ...]) -> list[str]:
    return list(
        SourceForm.model_fields
        if place[0] == "source" and len(place) > 1
        else ("register", "title", "source", "fields")
    )
