"""Tax codes: ten digits whose last is a check digit, branches with a suffix, or a personal number of 12 digits.

The form and the check digit are judged by the register's rules (``enterprise_code``, ``tax_id``), as python-stdnum's
``stdnum.vn.mst`` does. A zero in front is given back only where the check digit proves it.
"""

import polars as pl

from bus.schema.checks import CHECKS
from producers.cleaning.rule import Rule

SEPARATORS = r"[\s.]"
BRANCH = r"^([0-9]{10})[-–_/]?([0-9]{3})$"


def _tax_code(column: pl.Expr) -> pl.Expr:
    bare = column.str.replace_all(SEPARATORS, "").str.replace(r"^'", "")
    made = bare.str.replace(BRANCH, "${1}-${2}")
    padded = pl.lit("0") + made
    valid = CHECKS["enterprise_code"].column
    lost = (~valid(made)).fill_null(value=True) & made.str.contains(r"^[0-9]{9}(-[0-9]{3})?$") & valid(padded)
    return pl.when(lost).then(padded).when(made.str.contains(r"^[0-9-]+$")).then(made).otherwise(column)


TAX_CODE = Rule(
    name="tax_id",
    says="removes separators from a tax code, hyphen before a branch; gives back a zero that the check digit proves",
    clean=_tax_code,
)
