"""Values as they leave a store: the same from every one of them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from bus.names import AgencyCode
from consumers.stores.model import ENVELOPE, Row, Table
from consumers.stores.shape import ENVELOPE_COLUMNS, Kind, stored_columns, stored_kinds


def canonical(text: str) -> str:
    """JSON text with sorted names and no spaces: PostgreSQL's jsonb keeps no order of its own."""
    return json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def canonical_frame(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Every nested column of a frame of rows as canonical JSON text."""
    nested = [name for name, kind in stored_kinds(table).items() if kind is Kind.JSON and name in frame.columns]
    return frame.with_columns(
        pl.Series(name, [None if text is None else canonical(text) for text in frame.get_column(name)], pl.String)
        for name in nested
    )


def as_events(table: Table, stored: pl.DataFrame) -> pl.DataFrame:
    """A frame in the table's own columns as ENVELOPE and state columns, as ``Reader.rows`` gives it.

    A merged row has no state, so its state does not repeat the key either.
    """
    envelope = {of: pl.col(name) for name, of in ENVELOPE_COLUMNS.items()}
    envelope["op"] = pl.when(pl.col("_replaced_by").is_null()).then(pl.lit("UPSERT")).otherwise(pl.lit("MERGE"))
    envelope["key"] = pl.col(table.key_field)
    no_state = {table.key_field: pl.when(pl.col("_replaced_by").is_null()).then(pl.col(table.key_field))}
    state = {name: no_state.get(name, pl.col(name)) for name in table.columns}
    frame = stored.select(*(envelope[of].alias(of) for of in ENVELOPE), **state)
    return canonical_frame(table, frame)


def row_of(table: Table, values: Sequence[Any]) -> Row:
    """One row from Python values in the table's own order; nested ones as dicts and lists."""
    found: Mapping[str, Any] = dict(zip(stored_columns(table), values, strict=True))
    no_state = found["_replaced_by"] is not None
    return Row(
        register=table.register,
        key=found[table.key_field],
        fields={name: None if no_state else found[name] for name in table.columns},
        version=found["_version"],
        source=AgencyCode(found["_source"]),
        occurred_at=found["_occurred_at"],
        recorded_at=found["_recorded_at"],
        event_id=found["_event_id"],
        replaced_by=found["_replaced_by"],
    )
