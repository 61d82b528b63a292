"""Shared code lists: one TOML file per list under ``schemas/codes``, long ones with their rows in a table beside it.

Agencies must use shared lists (Law 20/2023, Art. 41(2); Law 60/2024, Art. 11): an unknown code is refused.
"""

import csv
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bus.errors import CatalogInvalid
from bus.schema.folder import schemas_folder
from bus.settings import Settings, explain
from bus.toml import parse_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code in one period of validity; both days are inclusive, empty means open or not known."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    code: str
    name: str
    name_vi: str
    valid_from: date | None = None
    valid_to: date | None = None
    kind: str | None = None
    successor_code: str | None = None
    succession: str | None = None
    next: tuple[str, ...] = ()
    """Codes that are expected to follow this one; empty where a list has no order of moves."""

    @property
    def unit_id(self) -> str:
        """Key in the list's own register: codes are reused, so that the first day belongs to the name."""
        return f"{self.code}@{self.valid_from.isoformat() if self.valid_from else 'unknown'}"

    def valid_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


_CODE = TypeAdapter(Code)


class _File(Settings):
    title: str
    title_vi: str
    source: str
    codes: tuple[Mapping[str, Any], ...] | None = None
    table: str | None = None
    """Of a file beside it, tab-separated."""


@dataclass(frozen=True, slots=True)
class CodeList:
    """A list with all its periods. New states may use only codes whose validity has no end."""

    name: str
    title: str
    title_vi: str
    source: str
    entries: tuple[Code, ...] = field(repr=False)
    current: frozenset[str] = field(repr=False)
    place: str = ""
    """Where somebody looks its codes up: the file, or the register in which it is published."""

    day: date | None = None
    """On which ``current`` is in force; without one, what has no end is."""

    @property
    def in_force(self) -> tuple[Code, ...]:
        """The entries that ``current`` has the codes of."""
        return tuple(e for e in self.entries if (e.valid_to is None if self.day is None else e.valid_on(self.day)))

    def on(self, day: date) -> Self:
        """The list as new states may use it on that day: what is in force then, neither ended nor still to come."""
        return replace(self, current=frozenset(e.code for e in self.entries if e.valid_on(day)), day=day)

    def find(self, code: str, on: date | None = None) -> Code | None:
        """The code's entry on that day, without a day the one in force."""
        fits = (entry for entry in self.entries if entry.code == code)
        return next((e for e in fits if (e.valid_to is None if on is None else e.valid_on(on))), None)

    def states(self) -> list[dict[str, Any]]:
        """The list as states of its register ``code.<name>``, ready to be published."""
        return [_state(entry, wards=self.name == "ward") for entry in self.entries]


def load_codes(root: Traversable | None = None) -> Mapping[str, CodeList]:
    """All lists by name, from the package or from another ``schemas`` folder.

    Raises ``CatalogInvalid`` with file and entry.
    """
    return _shipped() if root is None else _load(root)


@cache
def _shipped() -> Mapping[str, CodeList]:
    return _load(schemas_folder())


def _load(root: Traversable) -> Mapping[str, CodeList]:
    folder = root / "codes"
    files = (
        sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
        if folder.is_dir()
        else []
    )
    return MappingProxyType({f.name.removesuffix(".toml"): _read(f, folder) for f in files})


def _read(file: Traversable, folder: Traversable) -> CodeList:
    try:
        told = _File.model_validate(parse_toml(file.read_text(encoding="utf-8")))
        rows = told.codes if told.table is None else _table(folder / told.table)
        if rows is None:
            raise CatalogInvalid(
                f"{file.name}: codes is missing: a table [[codes]] for each code, or the name of a table"
            )
        entries = tuple(_entry(row, file.name) for row in rows)
        current = [entry.code for entry in entries if entry.valid_to is None]
        if len(current) != len(set(current)):
            twice = next(code for code in current if current.count(code) > 1)
            raise CatalogInvalid(f"{file.name}: code {twice} is in force twice; end one of its entries with valid_to")
        name, place = file.name.removesuffix(".toml"), f"schemas/codes/{file.name}"
        return CodeList(name, told.title, told.title_vi, told.source, entries, frozenset(current), place)
    except ValidationError as error:
        raise CatalogInvalid(f"{file.name}: {explain(error)}") from error
    except (tomllib.TOMLDecodeError, csv.Error, UnicodeDecodeError, OSError) as error:
        raise CatalogInvalid(f"{file.name}: cannot be read: {error}") from error


def _table(file: Traversable) -> Iterable[Mapping[str, str]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [
        {k: v for k, v in row.items() if v} for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]


def _entry(row: Mapping[str, Any], file: str) -> Code:
    told = {name: value for name, value in row.items() if value not in ("", None)}
    try:
        return _CODE.validate_python({"name": told.get("name_vi", ""), **told})
    except ValidationError as error:
        raise CatalogInvalid(f"{file}: code {row.get('code', '?')}: {explain(error, whole=None)}") from error


def _state(entry: Code, *, wards: bool) -> dict[str, Any]:
    state = {
        "unit_id": entry.unit_id,
        "code": entry.code,
        "valid_from": entry.valid_from,
        "valid_to": entry.valid_to,
        "name": entry.name_vi,
    }
    more = {"kind": entry.kind, "successor_code": entry.successor_code, "succession": entry.succession}
    return state | more if wards else state
