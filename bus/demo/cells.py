"""States as the cells of an agency's CSV export: nested fields as dotted columns, lists as JSON, nothing as empty."""

import csv
from collections.abc import Mapping
from io import StringIO

import polars as pl

from bus.demo.dossiers import CITY_TIME

DECOMPOSED_EVERY, DECOMPOSED_FROM = 97, 5
"""Rows whose text some old machine wrote with its accents as separate characters (Unicode NFD)."""
ISO_EVERY = 5
"""Of the rows of an office that writes dd/mm/yyyy, those which came from another system."""
WHOLE_DAY, ONLY_MONTH = r"^(\d{4})-(\d{2})-(\d{2})$", r"^(\d{4})-(\d{2})$"


def cells(frame: pl.DataFrame, *, day_first: bool) -> pl.DataFrame:
    """Every cell as text, or null; dates mostly as dd/mm/yyyy where ``day_first``."""
    row = pl.int_range(pl.len())
    turned = (row % ISO_EVERY != 0) & day_first
    decomposed = row % DECOMPOSED_EVERY == DECOMPOSED_FROM
    flat = _flat(frame)
    return flat.select(_text(name, dtype, turned, decomposed) for name, dtype in flat.schema.items())


def lines(texts: pl.DataFrame) -> list[bytes]:
    """Header and rows as lines of CSV in UTF-8, without their line ends."""
    return texts.write_csv().encode().removesuffix(b"\n").split(b"\n")


def line(row: Mapping[str, str | None]) -> bytes:
    """One row as such a line."""
    out = StringIO()
    csv.writer(out, lineterminator="").writerow("" if cell is None else cell for cell in row.values())
    return out.getvalue().encode()


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    columns = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Struct):
            columns += [pl.col(name).struct.field(part.name).alias(f"{name}.{part.name}") for part in dtype.fields]
        else:
            columns.append(pl.col(name))
    return frame.select(columns)


def _text(name: str, dtype: pl.DataType, turned: pl.Expr, decomposed: pl.Expr) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.List):
        items = column.list.eval(pl.element().struct.json_encode()).list.join(",")
        return pl.format("[{}]", items).alias(name)
    if isinstance(dtype, pl.Datetime):
        return column.dt.convert_time_zone(CITY_TIME).dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
    if dtype == pl.Date or name == "birth_date":
        iso = column.cast(pl.String)
        return (
            pl.when(turned)
            .then(iso.str.replace(WHOLE_DAY, "${3}/${2}/${1}").str.replace(ONLY_MONTH, "${2}/${1}"))
            .otherwise(iso)
            .alias(name)
        )
    text = column.cast(pl.String)
    return pl.when(decomposed).then(text.str.normalize("NFD")).otherwise(text).alias(name)
