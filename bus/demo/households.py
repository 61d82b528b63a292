"""Where synthetic residents live and how they are related: ``resident.residence`` and ``resident.civil_status``."""

import polars as pl

from bus.demo.draws import Draws, row_numbers, weighted
from bus.demo.places import city_addresses, far_addresses, ward_names
from bus.demo.residents import AS_OF

ABSENCES = weighted(present=94, temporarily_absent=4, absent_undeclared=1, abroad=1)
UNPAIRED = weighted(single=60, divorced=15, widowed=5)


def residence(people: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Where the living live, as ``resident.residence`` states it; a few are not registered anywhere yet.

    A household shares one permanent address. One in ten has it in another province and lives here temporarily.
    """
    rows, draws = row_numbers(len(people)), Draws(seed)
    home, frame = rows // 4, _households(people)
    far = draws.percent("from afar", home, 10)
    here, there = city_addresses(draws, "home", home), far_addresses(draws, "origin", home)
    moved_out = draws.percent("moved out", rows, 6) & ~far
    lodging = city_addresses(draws, "lodging", rows)
    listed = (people["status"] == "active") & draws.percent("residence", rows, 97)
    return frame.select(
        "personal_id",
        permanent_address=pl.when(draws.percent("settled", home, 98)).then(there.zip_with(far, here)),
        temporary_address=pl.when(far).then(here).when(moved_out).then(lodging),
        current_address=pl.when(draws.percent("current known", rows, 95)).then(lodging.zip_with(moved_out, here)),
        household_no=pl.lit("H") + pl.lit(home).cast(pl.String).str.zfill(8),
        relation_to_head=pl.when("is_spouse").then(pl.lit("spouse")).otherwise("relation"),
        absence_status=draws.pick("absence", rows, ABSENCES),
    ).filter(listed)


def civil_status(people: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Marriage, parents and death, as ``resident.civil_status`` states them. Spouses name each other."""
    rows, draws = row_numbers(len(people)), Draws(seed)
    frame = _households(people)
    dead = pl.col("status") == "deceased"
    days = pl.lit(draws.below("death", rows, 1500)).cast(pl.Int64)
    return frame.select(
        "personal_id",
        marital_status=pl.when(AS_OF.year - pl.col("year") < 20)
        .then(pl.lit("single"))
        .when(pl.col("spouse_id").is_not_null())
        .then(pl.when("spouse_dead").then(pl.lit("widowed")).otherwise(pl.lit("married")))
        .when(draws.percent("marital known", rows, 90))
        .then(draws.pick("marital", rows, UNPAIRED)),
        spouse_id="spouse_id",
        father_id="father_id",
        mother_id="mother_id",
        death_date=pl.when(dead).then(pl.lit(AS_OF) - pl.duration(days=days)),
        registration_place=pl.lit("UBND ") + draws.pick("registered at", rows, ward_names()),
        registration_number=pl.lit(draws.below("number", rows, 400) + 1).cast(pl.String)
        + "/"
        + pl.lit(draws.below("registered in", rows, 20) + 2007).cast(pl.String),
    ).filter(draws.percent("civil status", rows, 95))


def _households(people: pl.DataFrame) -> pl.DataFrame:
    """Adds what each is to the head of the four, read from sex and year of birth, for any frame of people."""
    here = people.select(
        "personal_id",
        "sex",
        "status",
        year=pl.col("birth_date").str.head(4).cast(pl.Int64),
        row=pl.int_range(pl.len(), dtype=pl.Int64),
    )
    head = here.gather(here["row"] // 4 * 4).rename(lambda name: f"head_{name}")
    second = here.gather((here["row"] // 4 * 4 + 1).clip(upper_bound=len(here) - 1)).rename(
        lambda name: f"second_{name}"
    )
    return pl.concat([here, head, second], how="horizontal").with_columns(_paired()).with_columns(_relations())


def _paired() -> pl.Expr:
    """Whether head and second of the household are a couple: of two sexes, of age, near in years."""
    return (
        (pl.col("head_row") // 4 == pl.col("second_row") // 4)
        & (pl.col("head_sex") != pl.col("second_sex"))
        & ((pl.col("head_year") - pl.col("second_year")).abs() <= 15)
        & (pl.max_horizontal("head_year", "second_year") <= AS_OF.year - 20)
    ).alias("paired")


def _relations() -> list[pl.Expr]:
    slot, older = pl.col("row") % 4, pl.col("head_year") - pl.col("year")
    couple = pl.col("paired") & (slot < 2)
    child = (older <= -18) & (slot > 1)
    father = pl.when(pl.col("head_sex") == "male").then("head_personal_id").otherwise("second_personal_id")
    mother = pl.when(pl.col("head_sex") == "male").then("second_personal_id").otherwise("head_personal_id")
    return [
        (couple & (slot == 1)).alias("is_spouse"),
        pl.when(slot == 0)
        .then(pl.lit("head"))
        .when(child)
        .then(pl.lit("child"))
        .when(older >= 18)
        .then(pl.lit("parent"))
        .otherwise(pl.lit("other_relative"))
        .alias("relation"),
        pl.when(couple)
        .then(pl.when(slot == 0).then("second_personal_id").otherwise("head_personal_id"))
        .alias("spouse_id"),
        pl.when(slot == 0)
        .then(pl.col("second_status"))
        .otherwise(pl.col("head_status"))
        .eq("deceased")
        .alias("spouse_dead"),
        pl.when(child & pl.col("paired")).then(father).alias("father_id"),
        pl.when(child & pl.col("paired")).then(mother).alias("mother_id"),
    ]
