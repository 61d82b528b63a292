"""Telephone numbers as they are dialled within Vietnam, mobile ones with the ten digits they have since 2018.

The changes of 15 September 2018 (m: the prefixes are from memory of the ministry's plan and agree with DOMAIN.md).
"""

import polars as pl

from producers.cleaning.rule import Rule, unread

CHANGED_2018 = {
    "0120": "070",
    "0121": "079",
    "0122": "077",
    "0126": "076",
    "0128": "078",
    "0123": "083",
    "0124": "084",
    "0125": "085",
    "0127": "081",
    "0129": "082",
    **{f"016{digit}": f"03{digit}" for digit in range(2, 10)},
    "0186": "056",
    "0188": "058",
    "0199": "059",
}
OLD_MOBILE = r"^0(?:12[0-9]|16[2-9]|18[68]|199)[0-9]{7}$"
MOBILE, FIXED = r"^0[35789][0-9]{8}$", r"^02[0-9]{9}$"
SEPARATORS = r"[\s.()\-–]"


def _phone(column: pl.Expr) -> pl.Expr:
    digits = (
        column.str.replace_all(SEPARATORS, "")
        .str.replace(r"^'", "")
        .str.replace(r"^(?:\+84|0084|84)0?([1-9])", "0${1}")
    )
    now = digits.str.slice(0, 4).replace(CHANGED_2018) + digits.str.slice(4)
    number = pl.when(digits.str.contains(OLD_MOBILE)).then(now).otherwise(digits)
    return pl.when(number.str.contains(MOBILE) | number.str.contains(FIXED)).then(number)


PHONE = Rule(
    name="phone",
    says="telephone number as 0 and digits; mobile numbers of eleven digits as since 15 September 2018",
    clean=_phone,
    refuses=unread,
    expected="one telephone number: ten digits from 03, 05, 07, 08 or 09, or eleven from 02; move others elsewhere",
)
