"""The forms in which an export may write a value, as column expressions; null is what none of them fits. Pure.

Dates are ISO 8601 or dd/mm/yyyy, points in time ISO 8601 with an offset or the national portal's yyyyMMddHHmmss in
Vietnam's time. A date that may be known in part becomes as much of ISO 8601 as it says, never padded.
"""

from collections.abc import Mapping

import polars as pl

CITY_TIME = "Asia/Ho_Chi_Minh"

EXPECTED: Mapping[str, str] = {
    "string": "text",
    "date": "a date that exists, as yyyy-mm-dd or dd/mm/yyyy",
    "timestamp": "a point in time as yyyy-mm-ddThh:mm:ss+07:00, or yyyyMMddHHmmss in Vietnam's time",
    "int": "a whole number of 32 bits, digits only",
    "long": "a whole number of 64 bits, digits only",
    "float": "a number, its decimals after a point",
    "double": "a number, its decimals after a point",
    "boolean": "true or false",
}
REASON: Mapping[str, str] = {
    "string": "text",
    "date": "date",
    "timestamp": "timestamp",
    "int": "number",
    "long": "number",
    "float": "number",
    "double": "number",
    "boolean": "boolean",
}

DAY_FIRST = r"^([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})$"
MONTH_FIRST = r"^([0-9]{1,2})/([0-9]{4})$"
ISO_DATE = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}$"
ISO_TIME = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?[+-][0-9]{2}:?[0-9]{2}$"
PORTAL = r"^[12][0-9]{13}$"
WHOLE = r"^-?[0-9]{1,19}$"
DECIMAL = r"^-?[0-9]{1,300}(\.[0-9]{1,300})?$"


def read(cell: pl.Expr, kind: str, dtype: pl.DataType) -> pl.Expr:
    """A cell that is not text."""
    cell = cell.str.strip_chars()
    if kind == "date":
        return date(cell)
    if kind == "timestamp":
        return timestamp(cell)
    if kind == "boolean":
        return cell.str.to_lowercase().replace_strict(
            {"true": True, "1": True, "false": False, "0": False}, default=None, return_dtype=pl.Boolean()
        )
    return pl.when(cell.str.contains(WHOLE if kind in {"int", "long"} else DECIMAL)).then(
        cell.cast(dtype, strict=False)
    )


def partial_date(cell: pl.Expr) -> pl.Expr:
    """``12/03/1985``, ``03/1985`` and ``1985`` as ``1985-03-12``, ``1985-03`` and ``1985``; anything else as it is."""
    padded = _padded(cell.str.strip_chars())
    return padded.str.replace(DAY_FIRST, "${3}-${2}-${1}").str.replace(MONTH_FIRST, "${2}-${1}")


def precision(date: pl.Expr) -> pl.Expr:
    """How much of a partial date is known; that of a date which is none of the forms does not matter."""
    length = date.str.len_chars()
    words = pl.when(length == len("1985")).then(pl.lit("year")).when(length == len("1985-03")).then(pl.lit("month"))
    return pl.when(date.is_not_null()).then(words.otherwise(pl.lit("day")))


def date(cell: pl.Expr) -> pl.Expr:
    iso = _padded(cell).str.replace(DAY_FIRST, "${3}-${2}-${1}")
    return pl.when(iso.str.contains(ISO_DATE)).then(iso.str.to_date("%Y-%m-%d", strict=False))


def timestamp(cell: pl.Expr) -> pl.Expr:
    iso = (
        cell.str.replace(r"^([0-9-]{10})[ t]", "${1}T")
        .str.replace(r"[Zz]$", "+00:00")
        .str.replace(r"T([0-9]{2}:[0-9]{2})([+-])", "T${1}:00${2}")
    )
    utc = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
    local = cell.str.to_datetime("%Y%m%d%H%M%S", time_unit="us", strict=False)
    city = local.dt.replace_time_zone(CITY_TIME, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
    return pl.when(cell.str.contains(PORTAL)).then(city).when(iso.str.contains(ISO_TIME)).then(utc)


def _padded(cell: pl.Expr) -> pl.Expr:
    """Days and months of one digit in two."""
    return cell.str.replace(r"^([0-9])/", "0${1}/").str.replace(r"/([0-9])/", "/0${1}/")
