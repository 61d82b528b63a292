"""The city's real wards, from the code lists in the wheel, and made-up addresses in them."""

import csv
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl

from bus.demo.draws import Draws
from bus.demo.names import STREETS

CITY = "79"
CITY_NAME = "Thành phố Hồ Chí Minh"
ADDRESS = pl.Struct(dict.fromkeys(("detail", "ward_code", "old_ward_code", "province_code", "country"), pl.String()))
"""Type of an address in every register."""

_CODES = files("bus") / "schemas" / "codes"


@dataclass(frozen=True, slots=True)
class Address:
    """One address, as the registers spell it: the raw text, the new code, the old one where the source has it."""

    detail: str
    ward_code: str
    old_ward_code: str | None = None
    province_code: str = CITY
    country: str = "VN"


@cache
def wards() -> pl.DataFrame:
    """The units in force: ``code``, ``name``, ``olds`` (codes of the units before 1 July 2025 that became it)."""
    units = list(csv.DictReader((_CODES / "ward.tsv").read_text("utf-8").splitlines(), delimiter="\t"))
    olds: dict[str, list[str]] = {}
    for unit in units:
        olds.setdefault(unit["successor_code"], []).append(unit["code"])
    now = [(unit["code"], unit["name_vi"], olds.get(unit["code"], [])) for unit in units if not unit["valid_to"]]
    return pl.DataFrame(now, schema={"code": pl.String, "name": pl.String, "olds": pl.List(pl.String)}, orient="row")


@cache
def provinces() -> pl.DataFrame:
    """The other provinces and cities: ``code``, ``name``."""
    listed = tomllib.loads((_CODES / "province.toml").read_text("utf-8"))["codes"]
    others = [(unit["code"], unit["name_vi"]) for unit in listed if unit["code"] != CITY]
    return pl.DataFrame(others, schema={"code": pl.String, "name": pl.String}, orient="row")


def ward_names() -> pl.Series:
    """``Phường …, Thành phố Hồ Chí Minh`` for each of the city's units."""
    return wards()["name"] + f", {CITY_NAME}"


def city_addresses(draws: Draws, name: str, rows: pl.Series) -> pl.Series:
    """An address in a ward of the city for each row; one in three still shows its ward before 1 July 2025."""
    units = wards()
    places = units.select("code", "olds").gather(draws.below(f"{name}.ward", rows, len(units)))
    nth = draws.below(f"{name}.old", rows, 60)
    return _addresses(
        draws,
        name,
        rows,
        ward_code=places["code"],
        old_ward_code=pl.select(
            pl.when(nth < 20).then(places["olds"].list.get(nth % places["olds"].list.len(), null_on_oob=True))
        ).to_series(),
        province_code=pl.Series([CITY]),
    )


def far_addresses(draws: Draws, name: str, rows: pl.Series) -> pl.Series:
    """An address in another province for each row, its ward not known here."""
    nothing = pl.Series([None], dtype=pl.String)
    code = draws.pick(f"{name}.province", rows, provinces()["code"])
    return _addresses(draws, name, rows, ward_code=nothing, old_ward_code=nothing, province_code=code)


def _addresses(
    draws: Draws,
    name: str,
    rows: pl.Series,
    *,
    ward_code: pl.Series,
    old_ward_code: pl.Series,
    province_code: pl.Series,
) -> pl.Series:
    number = draws.below(f"{name}.number", rows, 480) + 1
    street = draws.pick(f"{name}.street", rows, STREETS)
    return pl.select(
        pl.struct(
            detail=pl.concat_str(number, pl.lit(" "), street),
            ward_code=ward_code,
            old_ward_code=old_ward_code,
            province_code=province_code,
            country=pl.lit("VN"),
        )
    ).to_series()
