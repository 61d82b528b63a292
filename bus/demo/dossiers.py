"""Synthetic dossiers of one agency, as ``dossier.case`` states them."""

import polars as pl

from bus.demo.draws import Draws, row_numbers, weighted
from bus.demo.residents import AS_OF, grown

Paper = tuple[str, str, str | None]
"""Code, name, and the register that already answers it."""

APPLICATION: Paper = ("TK", "Tờ khai, đơn đề nghị", None)
IDENTITY: Paper = ("CD", "Giấy tờ tùy thân", "resident.identity")
RESIDENCE: Paper = ("CT", "Giấy tờ chứng minh nơi cư trú", "resident.residence")
MARRIAGE: Paper = ("HN", "Giấy xác nhận tình trạng hôn nhân", "resident.civil_status")
FIRM: Paper = ("DN", "Giấy chứng nhận đăng ký doanh nghiệp", "business.registration")

# Codes and titles in the manner of the national portal, from memory: sample data only.
PROCEDURES: tuple[tuple[str, str, str, tuple[Paper, ...]], ...] = (
    ("1.001193", "citizen", "Giấy khai sinh", (APPLICATION, IDENTITY, RESIDENCE)),
    ("1.000894", "citizen", "Giấy chứng nhận kết hôn", (APPLICATION, IDENTITY, MARRIAGE)),
    ("1.000656", "citizen", "Trích lục khai tử", (APPLICATION, IDENTITY, ("BT", "Giấy báo tử", None))),
    ("2.000815", "citizen", "Bản sao có chứng thực", (IDENTITY, ("BC", "Bản chính giấy tờ", None))),
    ("1.001612", "household", "Giấy chứng nhận đăng ký hộ kinh doanh", (APPLICATION, IDENTITY, RESIDENCE)),
    ("1.000775", "business", "Giấy phép", (APPLICATION, FIRM, ("BV", "Bản vẽ vị trí", None))),
)
STATUSES = weighted(**{"10": 55, "9": 6, "4": 20, "2": 5, "5": 4, "1": 2, "3": 1, "6": 2, "7": 2, "8": 1})
CHANNELS = weighted(online=66, counter=30, post=4)
FEES = pl.Series([None, 0, 0, 8_000, 15_000, 30_000, 50_000, 100_000], dtype=pl.Int64)
TERMS_DAYS = pl.Series([None, 1, 3, 3, 5, 7, 15], dtype=pl.Int64)
CITY_TIME = "Asia/Ho_Chi_Minh"

OPENING_SECOND, OPEN_SECONDS = 7 * 3600 + 1800, 9 * 3600
LONGEST_HOURS = 240
LAST_DAY, DAYS = 15, 330
"""Received on one of so many days, the last one so long before AS_OF that all that followed was before it too."""


def dossiers(n: int, people: pl.DataFrame, businesses: pl.DataFrame, agency_code: str, seed: int) -> pl.DataFrame:
    """``n`` dossiers that people and firms of the two frames handed in at one agency, in the order of their receipt."""
    rows, draws = row_numbers(n), Draws(seed)
    kind = _procedures().gather(draws.below("procedure", rows, len(PROCEDURES)))
    able = grown(people)["personal_id"]
    person = able.gather(draws.below("person", rows, len(able)))
    firm = businesses["enterprise_code"].gather(draws.below("firm", rows, len(businesses)))
    reuse = draws.percent("reuse", rows, 70)
    return pl.concat([_course(rows, draws), kind], how="horizontal").select(
        pl.format("{}-{}-{}", pl.lit(agency_code), "day", pl.col("nth").cast(pl.String).str.zfill(4)).alias(
            "dossier_code"
        ),
        "procedure_code",
        "applicant_kind",
        pl.when(pl.col("applicant_kind") == "business").then(firm).otherwise(person).alias("applicant_id"),
        "received_at",
        (pl.col("received_at") + pl.duration(days=pl.lit(draws.pick("term", rows, TERMS_DAYS)))).alias("due_at"),
        "status",
        "status_at",
        pl.when(pl.col("status") == "10").then("status_at").alias("returned_at"),
        pl.lit(draws.pick("channel", rows, CHANNELS)).alias("channel"),
        pl.lit(agency_code).alias("agency_code"),
        pl.lit(draws.pick("fee", rows, FEES)).alias("fee_due"),
        pl.when(reuse).then("papers_reused").otherwise("papers").alias("documents"),
        _results().alias("results"),
    )


def _procedures() -> pl.DataFrame:
    """A row per procedure; its papers once as all handed in, once with those that registers answered."""
    kinds = pl.DataFrame(
        [procedure[:3] for procedure in PROCEDURES],
        schema={"procedure_code": pl.String, "applicant_kind": pl.String, "result": pl.String},
        orient="row",
    )
    return kinds.with_columns(_papers(reused=False).alias("papers"), _papers(reused=True).alias("papers_reused"))


def _papers(*, reused: bool) -> pl.Series:
    values = [
        [{"code": code, "name": name, "reused_from": register if reused else None} for code, name, register in papers]
        for *_, papers in PROCEDURES
    ]
    paper = pl.Struct({"code": pl.String, "name": pl.String, "reused_from": pl.String})
    return pl.Series(values, dtype=pl.List(paper))


def _course(rows: pl.Series, draws: Draws) -> pl.DataFrame:
    """When each was received, on working days in opening hours, and how far it has come."""
    before = draws.below("day", rows, DAYS).cast(pl.Int64) + LAST_DAY
    second = draws.below("second", rows, OPEN_SECONDS).cast(pl.Int64) + OPENING_SECOND
    hours = draws.below("handled", rows, LONGEST_HOURS).cast(pl.Int64) + 1
    return (
        pl.select(day=pl.lit(AS_OF) - pl.duration(days=pl.lit(before)), second=second)
        .select("second", day=pl.col("day") - pl.duration(days=(pl.col("day").dt.weekday() - 5).cast(pl.Int64).clip(0)))
        .select(local=pl.col("day").cast(pl.Datetime("us")) + pl.duration(seconds="second"))
        .sort("local")
        .select(
            received_at=pl.col("local").dt.replace_time_zone(CITY_TIME).dt.convert_time_zone("UTC"),
            day=pl.col("local").dt.strftime("%y%m%d"),
            nth=pl.int_range(1, pl.len() + 1).over(pl.col("local").dt.date()),
        )
        .with_columns(
            status=draws.pick("status", rows, STATUSES),
            status_at=pl.col("received_at") + pl.duration(hours=pl.lit(hours)),
        )
    )


def _results() -> pl.Expr:
    """One result for a dossier that is processed or returned, none before."""
    number = pl.format("{}/{}", pl.int_range(pl.len()) + 1, pl.col("received_at").dt.year())
    issued_on = pl.col("status_at").dt.convert_time_zone(CITY_TIME).dt.date()
    result = pl.struct(number=number, issued_on=issued_on, name=pl.col("result"))
    return pl.concat_list([result]).list.head(pl.col("status").is_in(["9", "10"]).cast(pl.UInt32))
