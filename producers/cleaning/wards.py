"""Wards: from a code or a name, of before 1 July 2025 or after, to the code in force.

An old ward that went whole into a new one is converted. One that was split needs review: its address keeps the old
code and the text it had, and no new code, unless the source says which. Codes were reused on that day, so that a
column holds old codes or new ones by declaration; names are compared with their accents, since Thanh An and Thạnh An
are different communes.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from bus.schema.codes import CodeList, load_codes
from bus.schema.folder import schemas_folder
from producers.cleaning.names import key
from producers.cleaning.rule import Clean, Doubt, Rule, by_value

CODES = re.compile(r"([0-9]{5})\D+([0-9]{5})")
SAYS = ">"
"""Between an old ward and the new one that the source says, where each has a column; either side may be empty."""
KINDS = {
    "p": "phường",
    "x": "xã",
    "tt": "thị trấn",
    "q": "quận",
    "h": "huyện",
    "tp": "thành phố",
    "tx": "thị xã",
    "đk": "đặc khu",
}
SHORT = re.compile(rf"^({'|'.join(sorted(KINDS, key=len, reverse=True))})(?:\.\s*|\s+|(?=[0-9]))")
UNREAD = "unread"
NEW_KINDS = ("phường", "xã", "đặc khu")


@dataclass(frozen=True, slots=True)
class OldWard:
    code: str
    successors: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return len(self.successors) == 1


@dataclass(frozen=True, slots=True)
class _Found:
    old: str | None
    new: str | None
    state: str
    """``whole``, ``split`` and not said which, ``differs`` from what the source says, ``unknown``."""


def _unit(name: str) -> str:
    """A unit's name as it is compared: kind written out, numbers without zeros in front."""
    written = SHORT.sub(lambda short: f"{KINDS[short[1]]} ", key(name))
    return re.sub(r"\b0+([1-9])", r"\1", written)


@cache
def _old_wards() -> Mapping[str, OldWard]:
    successors: defaultdict[str, list[str]] = defaultdict(list)
    for row in _rows():
        successors[row["old_ward_code"]].append(row["new_ward_code"])
    return {code: OldWard(code, tuple(new)) for code, new in successors.items()}


@cache
def _old_names() -> Mapping[tuple[str, str], str]:
    """Old codes by ward and district."""
    return {(_unit(row["old_ward"]), _unit(row["old_district"])): row["old_ward_code"] for row in _rows()}


@cache
def _rows() -> tuple[Mapping[str, str], ...]:
    text = (schemas_folder() / "codes" / "ward_old_to_new.tsv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def _old(cell: str) -> _Found | None:
    """From ``26740``, ``Phường Bến Nghé, Quận 1``, or either with the new ward: ``26740 > Sài Gòn``."""
    before, said = _parts(cell)
    new = _in_force()(said) if said else None
    if not before:
        return _Found(None, new, "whole") if new else None
    old = before if re.fullmatch("[0-9]{5}", before) else _named(before)
    if old is None:
        return None
    ward = _old_wards().get(old)
    if ward is None:
        return _Found(old, None, "unknown")
    return _Found(old or None, *_succeeded(ward, said, new))


def _parts(cell: str) -> tuple[str, str]:
    """The old ward and what the source says of the new one; empty where it says nothing."""
    codes = CODES.fullmatch(cell)
    before, _, said = (codes[1], SAYS, codes[2]) if codes else cell.partition(SAYS)
    return before.strip(), said.strip()


def _succeeded(ward: OldWard, said: str, new: str | None) -> tuple[str | None, str]:
    """The ward in force, and whether what the source says agrees with it."""
    if new in ward.successors:
        return new, "whole"
    if not ward.whole:
        return None, "split"
    return ward.successors[0], "differs" if said else "whole"


def _named(cell: str) -> str | None:
    """The old code; Côn Đảo was a district without wards, and without a code of one."""
    ward, _, district = cell.partition(",")
    names = _unit(ward), _unit(district.split(",")[0])
    return _old_names().get(names if names[1] else ("", names[0]))


@cache
def _in_force() -> Callable[[str], str | None]:
    return _new(load_codes()["ward"])


def _new(wards: CodeList) -> Callable[[str], str | None]:
    """The code of a ward that stands in a cell by code or by name, its kind left out where that leaves no doubt."""

    @cache
    def names() -> Mapping[str, str]:
        return {_unit(entry.name_vi): entry.code for entry in wards.in_force}

    def each(cell: str) -> str | None:
        if re.fullmatch("[0-9]{5}", cell):
            return cell
        name = _unit(cell.partition(",")[0])
        kinds = [f"{kind} {name}" for kind in NEW_KINDS if f"{kind} {name}" in names()]
        found = [name] if name in names() else kinds
        return names()[found[0]] if len(found) == 1 else None

    return each


def _of(part: str) -> Clean:
    def each(cell: str) -> str | None:
        found = _old(cell)
        return getattr(found, part) if found else None

    return by_value(each)


def _is(state: str) -> Clean:
    def each(cell: str) -> str | None:
        found = _old(cell)
        return state if (found.state if found else UNREAD) == state else None

    return lambda column: by_value(each)(column).is_not_null()


OLD_WARD = Rule(
    name="old_ward",
    says="converts a ward of before 1 July 2025 that went whole into a new one; keeps the old code; doubts split ones",
    clean=_of("new"),
    refuses=lambda before, _: _is(UNREAD)(before),
    expected="a 5-digit code of a ward before 1 July 2025, or its name and district as Phường Bến Nghé, Quận 1",
    doubts=(
        Doubt(
            "needs_review",
            "the new ward of an address in a ward that was split; look it up by its house number and street",
            lambda before, _: _is("split")(before),
        ),
        Doubt(
            "unknown_old_ward",
            "a ward of the city as it was before 1 July 2025; or a column of new codes, or an address elsewhere",
            lambda before, _: _is("unknown")(before),
        ),
        Doubt(
            "ward_differs",
            "the ward into which the old one went whole, which was taken; the source names another: see which is wrong",
            lambda before, _: _is("differs")(before),
        ),
    ),
    also={"old_ward_code": _of("old")},
)


def ward(wards: CodeList) -> Rule:
    """By the names of the wards that this list has in force."""
    return Rule(
        name="ward",
        says="reads a ward in force by its name; leaves codes, which the register's list judges",
        clean=by_value(_new(wards)),
        refuses=lambda before, after: before.is_not_null() & after.is_null(),
        expected="a ward of the city in force since 1 July 2025, by code or name; for older ones parse old_ward",
    )


WARD = ward(load_codes()["ward"])
