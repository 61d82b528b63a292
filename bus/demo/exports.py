"""CSV exports as the agencies of a synthetic city would hand them in, some rows broken, and what must come of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import polars as pl

from bus.demo.cells import cells, lines
from bus.demo.damage import Refused, damaged
from bus.demo.data import businesses, civil_status, dossiers, people, residence
from bus.demo.places import ADDRESS, CITY, Address
from bus.errors import InputRefused, PathUnwritable
from bus.names import AgencyCode, RegisterName

POLICE, JUSTICE, FINANCE, WARD = (AgencyCode(code) for code in ("H29.5", "H29.3", "H29.2", "H29.101"))
IDENTITY, RESIDENCE = RegisterName("resident.identity"), RegisterName("resident.residence")
CIVIL_STATUS, REGISTRATION = RegisterName("resident.civil_status"), RegisterName("business.registration")
CASE = RegisterName("dossier.case")
SPARE = 40
"""First rows of every register that become broken lines; no valid row speaks of them."""
NOTICE = """\
Synthetic data (seed {seed}). None of these people, firms and dossiers exists; only wards and codes are real.
Dữ liệu giả lập. Mọi cá nhân, doanh nghiệp và hồ sơ trong thư mục này đều không có thật.
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows to make; residence and civil status follow from the people, of whom a few are missing there."""

    people: int = 4_000
    businesses: int = 600
    dossiers: int = 800


@dataclass(frozen=True, slots=True)
class Office:
    """Who hands in a register, and how."""

    agency: AgencyCode
    key_field: str
    text_field: str
    """A field of free text, for bytes that are not UTF-8."""
    day_first: bool = False
    """Dates mostly as dd/mm/yyyy."""


OFFICES: Mapping[RegisterName, Office] = MappingProxyType(
    {
        IDENTITY: Office(POLICE, "personal_id", "full_name", day_first=True),
        RESIDENCE: Office(POLICE, "personal_id", "household_no", day_first=True),
        CIVIL_STATUS: Office(JUSTICE, "personal_id", "registration_place"),
        REGISTRATION: Office(FINANCE, "enterprise_code", "name"),
        CASE: Office(WARD, "dossier_code", "documents"),
    }
)


@dataclass(frozen=True, slots=True)
class Export:
    """One agency's file of one register."""

    register: RegisterName
    agency: AgencyCode
    path: Path
    valid: pl.DataFrame = field(repr=False)
    """Typed states of the rows that must be published, in the file's order."""
    refused: Mapping[int, Refused] = field(repr=False)
    """Lines that must be refused, by their number in the file; the header is line 1."""


@dataclass(frozen=True, slots=True)
class Exports:
    directory: Path
    seed: int
    files: Mapping[RegisterName, Export]


def write_exports(directory: Path, seed: int, sizes: Sizes = Sizes()) -> Exports:
    """Write one CSV file per register, the same bytes for the same seed and sizes. Raises PathUnwritable."""
    states, spare = _states(seed, sizes)
    _write(directory / "README.txt", NOTICE.format(seed=seed).encode())
    return Exports(directory, seed, {name: _export(directory, name, states[name], spare[name]) for name in OFFICES})


def mover(exports: Exports) -> str:
    """Personal ID of someone who can move house: with identity, home in the city, and a dossier under way."""
    home = pl.col("permanent_address").struct.field("province_code") == CITY
    housed = exports.files[RESIDENCE].valid.filter(home & pl.col("temporary_address").is_null())["personal_id"]
    known = exports.files[IDENTITY].valid["personal_id"]
    waiting = exports.files[CASE].valid.filter(pl.col("status") == "4", pl.col("applicant_kind") == "citizen")
    able = waiting.filter(
        pl.col("applicant_id").is_in(housed.implode()) & pl.col("applicant_id").is_in(known.implode())
    )
    if able.is_empty():
        raise InputRefused("nobody in these exports has identity, home and a dossier under way; make more dossiers")
    return str(able["applicant_id"].first())


def moved(exports: Exports, personal_id: str, address: Address) -> Exports:
    """Rewrite the residence export in place: one person's permanent and current address is another, nothing else.

    Raises InputRefused where the export does not have the person.
    """
    export, who = exports.files[RESIDENCE], pl.col("personal_id") == personal_id
    if export.valid.filter(who).is_empty():
        raise InputRefused("the residence export has no such person; take one that mover() names")
    new = pl.lit(pl.Series([asdict(address)], dtype=ADDRESS)).first()
    homes = ("permanent_address", "current_address")
    valid = export.valid.with_columns(pl.when(who).then(new).otherwise(pl.col(home)).alias(home) for home in homes)
    rewritten = _rewritten(replace(export, valid=valid))
    return replace(exports, files={**exports.files, RESIDENCE: rewritten})


def _states(seed: int, sizes: Sizes) -> tuple[Mapping[RegisterName, pl.DataFrame], Mapping[RegisterName, pl.DataFrame]]:
    """Valid states by register, and the spare ones, whom no valid state names."""
    everyone = people(sizes.people + SPARE, seed)
    listed, others = everyone.slice(SPARE), everyone.head(SPARE)
    firms = businesses(sizes.businesses + SPARE, listed, seed)
    cases = dossiers(sizes.dossiers + SPARE, listed, firms.slice(SPARE), WARD, seed)
    in_city = pl.col("permanent_address").struct.field("province_code") == CITY
    valid = {IDENTITY: listed, RESIDENCE: residence(listed, seed), CIVIL_STATUS: civil_status(listed, seed)}
    spare = {
        IDENTITY: others,
        RESIDENCE: residence(others, seed).filter(in_city),
        CIVIL_STATUS: civil_status(others, seed),
    }
    return (
        {**valid, REGISTRATION: firms.slice(SPARE), CASE: cases.slice(SPARE)},
        {**spare, REGISTRATION: firms.head(SPARE), CASE: cases.head(SPARE)},
    )


def _export(directory: Path, name: RegisterName, valid: pl.DataFrame, spare: pl.DataFrame) -> Export:
    office = OFFICES[name]
    rows = [
        {field: cell or "" for field, cell in row.items()}
        for row in cells(spare, day_first=office.day_first).to_dicts()
    ]
    bad = list(damaged(name, office.key_field, office.text_field, rows))
    step = len(valid) // (len(bad) + 1)
    places = {2 + (nth + 1) * step + nth: refused for nth, refused in enumerate(bad)}
    return _rewritten(Export(name, office.agency, directory / f"{name}.csv", valid, places))


def _rewritten(export: Export) -> Export:
    good = lines(cells(export.valid, day_first=OFFICES[export.register].day_first))
    _write(export.path, b"\n".join(_merged(good, export.refused)) + b"\n")
    return export


def _merged(good: Sequence[bytes], bad: Mapping[int, Refused]) -> list[bytes]:
    rest = iter(good)
    return [bad[number].raw if number in bad else next(rest) for number in range(1, len(good) + len(bad) + 1)]


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise PathUnwritable(f"{path}: cannot be written ({error.strerror}); choose another directory") from error
