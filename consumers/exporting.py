"""Rows of a replica as JSON Lines."""

import json
from collections.abc import Iterator
from datetime import date, datetime

import polars as pl

from consumers.stores.model import ENVELOPE, Table


def json_lines(rows: pl.DataFrame, table: Table) -> Iterator[str]:
    """One object a row: ``fields`` with nested values as they are, then the envelope; dates and times as ISO 8601."""
    nested = [name for name, dtype in table.columns.items() if dtype.is_nested()]
    for row in rows.iter_rows(named=True):
        fields = {name: row[name] for name in table.columns}
        fields |= {name: json.loads(row[name]) for name in nested if row[name] is not None}
        envelope = {name: row[name] for name in ENVELOPE if name != "op"}
        yield json.dumps({**envelope, "fields": fields}, ensure_ascii=False, default=_text)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
