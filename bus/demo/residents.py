"""Synthetic residents: who they are. Nobody here exists.

Four rows in a row are a household: head, spouse, and two children or parents.
"""

from datetime import date

import polars as pl

from bus.demo.draws import Draws, row_numbers
from bus.demo.names import (
    FEMALE_GIVEN,
    FEMALE_MIDDLES,
    MALE_GIVEN,
    MALE_MIDDLES,
    NICKNAMES,
    SURNAMES,
)
from bus.demo.places import provinces, ward_names

AS_OF = date(2026, 6, 30)
"""The day on which the synthetic city was photographed; nothing in it is later."""

FIRST_CHIP_CARDS = date(2021, 1, 1)
CITY_PREFIXES = (79, 74, 77)
OTHER_PREFIXES = (
    1,
    31,
    36,
    38,
    40,
    42,
    46,
    48,
    49,
    51,
    52,
    56,
    60,
    64,
    68,
    72,
    75,
    80,
    82,
    83,
    84,
    86,
    87,
    89,
    92,
    94,
    95,
    96,
)
PREFIXES = pl.Series([79] * 60 + [74] * 10 + [77] * 8 + list(OTHER_PREFIXES))
# More of the young, as in a city that grew; a head is of age, and none is over 101.
HEAD_YEARS = pl.Series([*range(1925, 2004), *range(1955, 2004), *range(1970, 2000), *range(1980, 1998)])
RENEWALS = (25, 40, 60)
"""Ages at which an identity card ends; issued within two years before, it lasts to the next (Law 26/2023, Art. 21)."""


def people(n: int, seed: int) -> pl.DataFrame:
    """``n`` residents, as ``resident.identity`` states them. The first rows do not depend on ``n``."""
    rows, draws = row_numbers(n), Draws(seed)
    born = _born(_kin(rows, draws), rows, draws)
    parts = [born, _names(born, rows, draws), _places(born, rows, draws), _cards(born, rows, draws)]
    return pl.concat(parts, how="horizontal").select(
        "personal_id",
        "old_id_9",
        "full_name",
        "other_name",
        _as_known(pl.col("born"), pl.col("birth_date_precision")).alias("birth_date"),
        "birth_date_precision",
        pl.when("male").then(pl.lit("male")).otherwise(pl.lit("female")).alias("sex"),
        pl.lit("VN").alias("nationality"),
        "native_place",
        "birth_place",
        "birth_registration_place",
        "card_issue_date",
        "card_expiry",
        "status",
    )


def grown(people: pl.DataFrame) -> pl.DataFrame:
    """Those who can lead a firm or hand in a dossier: living and of age."""
    year = pl.col("birth_date").str.head(4).cast(pl.Int64)
    return people.filter((pl.col("status") == "active") & (year < AS_OF.year - 18))


def _kin(rows: pl.Series, draws: Draws) -> pl.DataFrame:
    """Sex, year of birth and surname, so that the four of a household fit together."""
    head, gap = rows // 4 * 4, draws.below("gap", rows, 16).cast(pl.Int64)
    frame = pl.DataFrame({
        "slot": rows % 4,
        "head_male": draws.percent("sex", head, 50),
        "own_male": draws.percent("sex", rows, 50),
        "head_year": draws.pick("head_year", head, HEAD_YEARS),
        "gap": gap,
    })  # fmt: skip
    child = pl.col("head_year") + 22 + pl.col("gap")
    is_child = (pl.col("slot") > 1) & (child <= AS_OF.year)
    year = (
        pl.when(pl.col("slot") == 0).then("head_year")
        .when(pl.col("slot") == 1).then((pl.col("head_year") + pl.col("gap") % 9 - 4).clip(1925, 2005))
        .when(is_child).then(child)
        .otherwise(pl.col("head_year") - 22 - pl.col("gap"))
    )  # fmt: skip
    male = pl.when(pl.col("slot") == 1).then(~pl.col("head_male")).otherwise("own_male")
    return frame.select(
        year=year.clip(1925, AS_OF.year),
        male=male,
        # Children have their father's surname; a wife keeps her own.
        surname=pl.when(male | is_child)
        .then(draws.pick("surname", head, SURNAMES))
        .otherwise(draws.pick("own surname", rows, SURNAMES)),
    )


def _born(kin: pl.DataFrame, rows: pl.Series, draws: Draws) -> pl.DataFrame:
    """Adds the day of birth, what is known of it, the personal ID that agrees with it, and the status."""
    prefix = draws.pick("prefix", rows, PREFIXES)
    year, known, fate = pl.col("year"), draws.below("precision", rows, 1000), draws.below("fate", rows, 2000)
    days = draws.below("birthday", rows, 365).cast(pl.Int64)
    whole = pl.when(year == AS_OF.year).then(days % 180).otherwise(days)
    group = prefix * 1000 + (2 * (year >= 2000) + ~pl.col("male")) * 100 + year % 100
    frame = kin.with_columns(
        born=pl.date(year, 1, 1) + pl.duration(days=whole),
        days=whole,
        prefix=prefix,
        group=group,
        birth_date_precision=pl.when((year < 1965) & (known < 120) | (known < 4))
        .then(pl.lit("year"))
        .when((year < 1965) & (known < 150) | (known < 6))
        .then(pl.lit("month"))
        .otherwise(pl.lit("day")),
        status=pl.when(fate < (AS_OF.year - year - 50).clip(0) * 6)
        .then(pl.lit("deceased"))
        .when(fate == 1997)
        .then(pl.lit("missing"))
        .when(fate == 1998)
        .then(pl.lit("declared_dead"))
        .otherwise(pl.lit("active")),
    )
    return frame.with_columns(personal_id=_personal_ids(frame["group"]))


def _personal_ids(group: pl.Series) -> pl.Series:
    """Twelve digits: the group's six, then a number that no other row of the group has."""
    nth = pl.int_range(pl.len()).over("group")
    number = (nth * 618_033 + pl.col("group") * 7919) % 1_000_000  # 618,033 shares no factor with a million
    frame = pl.DataFrame({"group": group})
    return frame.select((pl.col("group") * 1_000_000 + number).cast(pl.String).str.zfill(12)).to_series()


def _as_known(day: pl.Expr, precision: pl.Expr) -> pl.Expr:
    whole = day.cast(pl.String)
    return (
        pl.when(precision == "day")
        .then(whole)
        .when(precision == "month")
        .then(whole.str.head(7))
        .otherwise(whole.str.head(4))
    )


def _names(born: pl.DataFrame, rows: pl.Series, draws: Draws) -> pl.DataFrame:
    male = born["male"]
    middle = draws.pick("middle", rows, MALE_MIDDLES).zip_with(male, draws.pick("middle", rows, FEMALE_MIDDLES))
    given = draws.pick("given", rows, MALE_GIVEN).zip_with(male, draws.pick("given", rows, FEMALE_GIVEN))
    return pl.select(
        full_name=pl.concat_str(born["surname"], middle, given, separator=" "),
        other_name=pl.when(draws.percent("has nickname", rows, 1.5)).then(draws.pick("nickname", rows, NICKNAMES)),
        old_id_9=pl.when(draws.percent("has old id", rows, 55) & (born["year"] < 2003)).then(
            pl.lit(draws.below("old id", rows, 10**9)).cast(pl.String).str.zfill(9)
        ),
    )


def _places(born: pl.DataFrame, rows: pl.Series, draws: Draws) -> pl.DataFrame:
    """Born where the personal ID was given out; three in five have their native place there too."""
    city, far = ward_names(), provinces()["name"]
    here = draws.pick("birth ward", rows, city).zip_with(
        born["prefix"].is_in(CITY_PREFIXES), draws.pick("birth province", rows, far)
    )
    native = here.zip_with(draws.percent("native here", rows, 60), draws.pick("native province", rows, far))
    return pl.select(
        native_place=native,
        birth_place=pl.when(draws.percent("birth place known", rows, 90)).then(here),
        birth_registration_place=here,
    )


def _cards(born: pl.DataFrame, rows: pl.Series, draws: Draws) -> pl.DataFrame:
    """A card for nearly everyone of fourteen and over: issued since 2021, valid until one of the renewal ages."""
    of_14 = _birthday(14)
    earliest = pl.max_horizontal(of_14, pl.lit(FIRST_CHIP_CARDS))
    span = (pl.lit(AS_OF) - earliest).dt.total_days()
    issued = earliest + pl.duration(days=pl.lit(draws.below("card", rows, 10_000)) % (span + 1))
    has = (of_14 <= AS_OF) & draws.percent("has card", rows, 96)
    frame = born.with_columns(card_issue_date=pl.when(has).then(issued))
    ends = [
        pl.when(_birthday(age).dt.offset_by("-2y") >= pl.col("card_issue_date")).then(_birthday(age))
        for age in RENEWALS
    ]
    return frame.select("card_issue_date", card_expiry=pl.coalesce(ends))


def _birthday(age: int) -> pl.Expr:
    return pl.date(pl.col("year") + age, 1, 1) + pl.duration(days="days")
