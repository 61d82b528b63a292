"""Synthetic enterprises and branches, as ``business.registration`` states them.

Codes have the right form and check digit; that one belongs to a real firm somewhere would be chance.
"""

import polars as pl

from bus.demo.draws import Draws, row_numbers, weighted
from bus.demo.names import FIRM_FIELDS, FIRM_FIRST, FIRM_SECOND
from bus.demo.places import city_addresses
from bus.demo.residents import AS_OF, grown

BRANCH_SHARE = 12
"""One row in so many is a branch of another."""

FORMS = weighted(
    llc_single_member=48, llc_multi_member=32, joint_stock=14, private_enterprise=4, cooperative=1, partnership=1
)
FORM_NAMES = {
    "llc_single_member": "Công ty TNHH Một thành viên",
    "llc_multi_member": "Công ty TNHH",
    "joint_stock": "Công ty Cổ phần",
    "private_enterprise": "Doanh nghiệp tư nhân",
    "cooperative": "Hợp tác xã",
    "partnership": "Công ty Hợp danh",
    "branch": "Chi nhánh",
}
STATUSES = weighted(operating=80, suspended=8, not_at_address=4, revoked_by_tax=2, dissolving=2, bankruptcy=1, ended=3)
TITLES = pl.Series(["Giám đốc", "Giám đốc", "Tổng giám đốc", "Chủ tịch Hội đồng thành viên", "Chủ tịch công ty"])
# VSIC 2018 codes, from memory: sample data only.
LINES = pl.DataFrame(
    [
        ("4669", "Bán buôn chuyên doanh khác chưa được phân vào đâu"),
        ("4690", "Bán buôn tổng hợp"),
        ("4711", "Bán lẻ lương thực, thực phẩm trong cửa hàng tổng hợp"),
        ("4933", "Vận tải hàng hóa bằng đường bộ"),
        ("5610", "Nhà hàng và các dịch vụ ăn uống phục vụ lưu động"),
        ("4101", "Xây dựng nhà để ở"),
        ("1410", "May trang phục"),
        ("6201", "Lập trình máy vi tính"),
        ("7020", "Hoạt động tư vấn quản lý"),
        ("6810", "Kinh doanh bất động sản, quyền sử dụng đất"),
        ("1811", "In ấn"),
    ],
    schema=["code", "name"],
    orient="row",
)
CAPITALS = pl.Series([100, 200, 500, 1_000, 1_900, 3_000, 5_000, 9_900, 20_000, 68_000, 150_000]) * 1_000_000
CODE_PREFIXES = pl.Series([3, 3, 3, 37, 35], dtype=pl.UInt64)
WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)
"""Of the first nine digits; the tenth is 10 less their sum modulo 11 (as ``stdnum.vn.mst`` has it)."""
_REGISTERED_WITHIN_DAYS = 9_000


def businesses(n: int, people: pl.DataFrame, seed: int) -> pl.DataFrame:
    """``n`` firms led by grown people of the frame; the last twelfth are branches of others among them.

    ``n`` may go up to eight million: the serials of a tax code have seven digits.
    """
    draws, branches = Draws(seed), n // BRANCH_SHARE
    rows = row_numbers(n)
    frame = pl.DataFrame({
        "enterprise_code": _codes(n - branches, branches, draws),
        "legal_form": draws.pick("form", rows, FORMS),
    }).with_columns(
        legal_form=pl.when(rows < n - branches).then("legal_form").otherwise(pl.lit("branch"))
    )  # fmt: skip
    return frame.select(
        "enterprise_code",
        pl.format("{} {}", pl.col("legal_form").replace_strict(FORM_NAMES), _names(rows, draws)).alias("name"),
        "legal_form",
        pl.lit(city_addresses(draws, "office", rows)).alias("head_office_address"),
        pl.lit(_lines(rows, draws)).alias("business_lines"),
        _leaders(rows, people, draws).alias("legal_representatives"),
        pl.when(pl.col("legal_form") != "branch").then(draws.pick("capital", rows, CAPITALS)).alias("charter_capital"),
        (pl.lit(AS_OF) - pl.duration(days=pl.lit(draws.below("since", rows, _REGISTERED_WITHIN_DAYS)).cast(pl.Int64)))
        .alias("first_registered_on"),
        pl.lit(draws.below("amendments", rows, 9)).cast(pl.Int64).alias("amendment_no"),
        pl.lit(draws.pick("status", rows, STATUSES)).alias("legal_status"),
    )  # fmt: skip


def _codes(firms: int, branches: int, draws: Draws) -> pl.Series:
    """Ten digits each, all different; then branches, each of another firm."""
    candidates = row_numbers(firms + firms // 8 + 30)  # one number in eleven has no check digit
    serial = (candidates * 6_180_339 + 1_234_567) % 10_000_000  # 6,180,339 shares no factor with ten million
    base = draws.pick("code prefix", candidates, CODE_PREFIXES) * 10_000_000 + serial
    weighed = sum((base // 10 ** (8 - place) % 10 * weight for place, weight in enumerate(WEIGHTS)), base * 0)
    given = pl.DataFrame({"base": base, "serial": serial, "rest": weighed % 11}).filter(
        (pl.col("rest") > 0) & (pl.col("serial") > 0)
    )
    code = (pl.col("base") * 10 + 10 - pl.col("rest")).cast(pl.String).str.zfill(10)
    main = given.head(firms).select(code).to_series()
    number = draws.below("branch", row_numbers(branches), 30) + 1
    return main.append(
        pl.select(
            pl.concat_str(main.head(branches), pl.format("-{}", pl.lit(number).cast(pl.String).str.zfill(3)))
        ).to_series()
    )


def _names(rows: pl.Series, draws: Draws) -> pl.Expr:
    return pl.concat_str(
        draws.pick("field", rows, FIRM_FIELDS),
        draws.pick("first word", rows, FIRM_FIRST),
        draws.pick("second word", rows, FIRM_SECOND),
        separator=" ",
    )


def _lines(rows: pl.Series, draws: Draws) -> pl.Series:
    """One to three lines of business, the first the main one."""
    table = LINES.to_dicts()
    choices = [
        [table[(first + nth * 3) % len(table)] | {"main": nth == 0} for nth in range(count)]
        for first in range(len(table))
        for count in (1, 2, 3)
    ]
    return draws.pick("lines", rows, pl.Series(choices))


def _leaders(rows: pl.Series, people: pl.DataFrame, draws: Draws) -> pl.Expr:
    """One representative, or two in one firm of eight."""
    able, seats = grown(people), row_numbers(2 * len(rows))
    who = able.gather(draws.below("leader", seats, len(able)))
    title = draws.pick("title", seats, TITLES)
    leaders = pl.select(pl.struct(name=who["full_name"], personal_id=who["personal_id"], title=title)).to_series()
    pairs = leaders.reshape((len(rows), 2)).arr.to_list()
    return pl.lit(pairs).list.head(pl.lit(draws.percent("two leaders", rows, 12.5).cast(pl.UInt32) + 1))
