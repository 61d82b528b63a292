"""Numbers as Vietnam writes them: 1.234.567,50."""

import polars as pl

from producers.cleaning.rule import Rule, unread

VIETNAMESE = r"^-?(?:[0-9]{1,3}(?:[. ][0-9]{3})+|[0-9]+)(?:,[0-9]+)?$"
UNIT = r"(?i)\s*(?:đồng|đ|vnđ|vnd)\.?$"


def _number(column: pl.Expr) -> pl.Expr:
    bare = column.str.replace(UNIT, "")
    plain = bare.str.replace_all(r"[. ]", "").str.replace(",", ".", literal=True)
    return pl.when(bare.str.contains(VIETNAMESE)).then(plain)


NUMBER = Rule(
    name="number_vi",
    says="reads a number with points between thousands and a comma before decimals, perhaps with đ or VND behind",
    clean=_number,
    refuses=unread,
    expected="a number such as 1.234.567 or 1.234.567,50; 1.5 would be ambiguous",
)
