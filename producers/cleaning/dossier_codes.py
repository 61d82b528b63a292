"""Codes of dossiers: agency, date received, sequence. Form and date are judged by the register's rules."""

import polars as pl

from producers.cleaning.rule import Rule

DASHES = r"\s*[-‐‑‒–—_]\s*"
RECEIVED = "-([0-9]{6})-"


def _code(column: pl.Expr) -> pl.Expr:
    return column.str.replace_all(DASHES, "-").str.replace_all(r"\s", "").str.to_uppercase()


def date_differs(code: pl.Expr, received: pl.Expr) -> pl.Expr:
    """Whether a code names another day than ``received``, a point in time as ISO 8601 text in Vietnam's time."""
    day = pl.lit("20") + code.str.extract(RECEIVED, 1)
    told = received.str.slice(0, 10).str.replace_all("-", "")
    return (received.str.ends_with("+07:00") & (day != told)).fill_null(value=False)


DOSSIER_CODE = Rule(
    name="dossier_code",
    says="makes any dash a hyphen in a dossier's code, removes blanks, puts it in capitals",
    clean=_code,
)
DATE_DIFFERS = ("dossier_date", "the day in the dossier's code is the day it was received; look which is right")
