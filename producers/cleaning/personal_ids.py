"""Personal numbers: 12 digits, and the older card's 9. Form, sex and birth date are judged by the register's rules.

PPP G YY NNNNNN: PPP is the province, or from 100 on the country, where the birth was registered (m: the list is that
of the 63 provinces before 1 July 2025). The number says nothing about where a person lives.
"""

import polars as pl

from producers.cleaning.rule import Doubt, Rule

PROVINCES = frozenset(
    "001 002 004 006 008 010 011 012 014 015 017 019 020 022 024 025 026 027 030 031 033 034 035 036 037 038 040 042 "  # noqa: SIM905 - a number on each line would hide the list
    "044 045 046 048 049 051 052 054 056 058 060 062 064 066 067 068 070 072 074 075 077 079 080 082 083 084 086 087 "
    "089 091 092 093 094 095 096".split()
)
SEPARATORS = r"[\s.\-–]"
UNKNOWN = rf"^(?:{'|'.join(f'{code:03d}' for code in range(100) if f'{code:03d}' not in PROVINCES)})[0-9]{{9}}$"
DIGITS = r"^'?([0-9]+)(?:\.0)?$"


def _digits(column: pl.Expr) -> pl.Expr:
    """Without separators, a spreadsheet's apostrophe or its ``.0``; what is not digits then, is left as it was."""
    bare = pl.when(column.str.contains(r"^'?[0-9]+\.0$")).then(column).otherwise(column.str.replace_all(SEPARATORS, ""))
    return pl.when(bare.str.contains(DIGITS)).then(bare.str.replace(DIGITS, "${1}")).otherwise(column)


PERSONAL_ID = Rule(
    name="personal_id",
    says="removes separators from a personal number; doubts one whose first three digits are no province's",
    clean=_digits,
    doubts=(
        Doubt(
            "unknown_prefix",
            "a personal number that starts with a province's code; look for a typo",
            lambda _, after: after.str.contains(UNKNOWN),
        ),
    ),
    where=rf"[^0-9]|{UNKNOWN}",
)
LOST_ZEROS = Rule(
    name="lost_zeros",
    says="gives a personal number of 10 or 11 digits back the zeros that a spreadsheet took; doubts each of them",
    clean=lambda column: column.str.zfill(12),
    where=r"^[0-9]{10,11}$",
    doubts=(
        Doubt(
            "lost_zeros",
            "a personal number with its zeros; export the column as text",
            lambda before, after: before != after,
        ),
    ),
)
