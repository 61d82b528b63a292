"""What is wrong in the exports, on purpose: each kind once in a file, with where and why it must be refused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as hidden
from types import MappingProxyType

from bus.demo.cells import line
from bus.names import RegisterName

Cells = dict[str, str]

ENCODING, RAGGED, DUPLICATE = "encoding", "cells", "duplicate"
"""Reasons that lie in the row as a whole; all others are a cell's: unreadable, or against a rule."""
FOREIGN_BYTES = b"Nguy\xd4n"  # Nguyễn in TCVN3, an encoding of the 1990s

UNLIKE: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "resident.identity": ("full_name", "native_place"),
        "resident.residence": ("household_no",),
        "resident.civil_status": ("registration_number", "registration_place"),
        "business.registration": ("name", "first_registered_on"),
        "dossier.case": ("applicant_kind", "applicant_id"),
    }
)
"""Fields in which two rows of one key contradict each other."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that must be refused."""

    reason: str
    """As the adapter reports it."""
    field: str | None
    """None where the row as such is wrong."""
    raw: bytes = hidden(repr=False)


@dataclass(frozen=True, slots=True)
class Damage:
    cell: str
    reason: str
    spoil: Callable[[Cells], str]
    """The bad cell, from a good row."""
    told_under: str | None = None
    """The field that the refusal names, where that is not the cell's own."""


def damaged(register: RegisterName, key_field: str, text_field: str, spare: Sequence[Cells]) -> Iterator[Refused]:
    """Bad lines made from good rows that no valid line of the file speaks of; one for each damage, and three more."""
    rows = iter(spare)
    for damage in DAMAGES[register]:
        row = next(rows)
        bad = line(row | {damage.cell: damage.spoil(row)})
        yield Refused(damage.reason, damage.told_under or damage.cell, bad)
    yield Refused(RAGGED, None, line(next(rows)) + b",one,too many")
    yield Refused(ENCODING, None, line(next(rows) | {text_field: "@"}).replace(b"@", FOREIGN_BYTES))
    once, other = next(rows), spare[-1]
    # Nobody can tell which of the two is right.
    yield Refused(DUPLICATE, key_field, line(once))
    yield Refused(DUPLICATE, key_field, line(once | {name: other[name] for name in UNLIKE[register]}))


def _instead(bad: str) -> Callable[[Cells], str]:
    return lambda _row: bad


def _short(name: str) -> Callable[[Cells], str]:
    return lambda row: row[name][:-1]


def _next_digit(row: Cells) -> str:
    code = row["enterprise_code"]
    return f"{code[:9]}{(int(code[9]) + 1) % 10}"


def _other_sex(row: Cells) -> str:
    return "female" if row["sex"] == "male" else "male"


def _day_that_never_was(row: Cells) -> str:
    return f"31/02/19{row['personal_id'][4:6]}"


DAMAGES: Mapping[str, Sequence[Damage]] = MappingProxyType(
    {
        "resident.identity": (
            Damage("personal_id", "pattern", _short("personal_id")),
            Damage("sex", "personal_id_agrees", _other_sex, told_under="personal_id"),
            Damage("birth_date", "partial_date", _day_that_never_was),
            Damage("card_issue_date", "date", _instead("30/02/2024")),
            Damage("nationality", "codes", _instead("XX")),
        ),
        "resident.residence": (
            Damage("permanent_address.ward_code", "ward_in_city", _instead("99999")),
            Damage("permanent_address.province_code", "codes", _instead("00")),
            Damage("relation_to_head", "codes", _instead("neighbour")),
        ),
        "resident.civil_status": (
            Damage("death_date", "date", _instead("2025-02-30")),
            Damage("spouse_id", "differs", lambda row: row["personal_id"]),
            Damage("marital_status", "codes", _instead("unsure")),
        ),
        "business.registration": (
            Damage("enterprise_code", "enterprise_code", _next_digit),
            Damage("charter_capital", "minimum", _instead("-1")),
            Damage("amendment_no", "number", _instead("twice")),
            Damage("business_lines", "json", _instead('[{"code":"46')),
        ),
        "dossier.case": (
            Damage("dossier_code", "dossier_code", lambda row: row["agency_code"] + "-260231-0001"),
            Damage("status", "codes", _instead("11")),
            Damage("due_at", "in_order", _instead("2025-01-02T08:00:00+07:00"), told_under="received_at"),
            Damage("procedure_code", "procedure_code", _instead("khai sinh")),
        ),
    }
)
