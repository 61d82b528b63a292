"""JSON rows on columns: the row way's answers, a multiple of its speed. Pure.

Whatever is strange in a slice leaves the whole of it to the row way, which names what is wrong. Flat registers of text,
dates and times only: there Polars refuses every type that the rules refuse.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from bus.catalog import Register
from bus.errors import StateInvalid
from bus.event import Op
from bus.names import AgencyCode
from bus.schema.columns import broken, frame_schema
from bus.schema.fields import RegisterSchema
from producers.admission import own_key_start
from producers.outbox.relay.row import Row
from producers.outbox.types import read_event_id, read_moment
from producers.release import Release


def _moment(text: str) -> datetime:
    """Raises ValueError where the zone is left open: it would be read as this machine's."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found.astimezone(UTC)


KINDS = {"string", "date", "timestamp"}
_READ: Mapping[str, Callable[[str], date]] = {
    "date": date.fromisoformat,
    "timestamp": _moment,
}
_STRANGE = (
    *(ValueError, TypeError, AttributeError, OverflowError, RecursionError, StateInvalid),
    pl.exceptions.PolarsError,
)
_TIME = pl.Datetime("us", "UTC")


def fits(schema: RegisterSchema) -> bool:
    return all(field.kind in KINDS for field in schema.fields)


def values(register: Register, agency: AgencyCode, release: Release, rows: Sequence[Row]) -> dict[int, bytes]:
    """The final bytes of upserts in JSON by row number; those that are missing have to go the row way."""
    try:
        states = _frame(release.schema, [json.loads(row.payload or b"") for row in rows])
        told = events(release.schema, agency, rows, states)
        fine = _fine(register, agency, release.schema, states, told)
        some = told.filter(fine)
        encoded = release.bulk.encode(some.drop("seq")) if some.height else []
    except _STRANGE:
        return {}
    return dict(zip(some["seq"].to_list(), encoded, strict=True))


def _frame(schema: RegisterSchema, told: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Raises one of ``_STRANGE`` where a field is unknown, or a value of another type."""
    names = {field.name for field in schema.fields}
    if any(not isinstance(each, dict) or each.keys() - names for each in told):
        raise StateInvalid("a field that the register lacks")
    columns = {}
    for field in schema.fields:
        column = [each.get(field.name, field.default) for each in told]
        read = _READ.get(field.kind)
        columns[field.name] = [None if text is None else read(text) for text in column] if read else column
    return pl.DataFrame(columns, schema=frame_schema(schema), strict=True)


def events(schema: RegisterSchema, agency: AgencyCode, rows: Sequence[Row], states: pl.DataFrame) -> pl.DataFrame:
    recorded = [read_moment(row.created_at) for row in rows]
    occurred = [read_moment(row.occurred_at) or at for row, at in zip(rows, recorded, strict=True)]
    return states.select(
        seq=pl.Series([row.seq for row in rows], dtype=pl.Int64),
        event_id=pl.Series([str(read_event_id(row.event_id)) for row in rows], dtype=pl.String),
        op=pl.lit(str(Op.UPSERT)),
        key=pl.Series([row.key.decode() for row in rows], dtype=pl.String),
        version=pl.Series([row.version for row in rows], dtype=pl.Int64),
        source=pl.lit(agency),
        occurred_at=pl.Series(occurred, dtype=_TIME),
        recorded_at=pl.Series(recorded, dtype=_TIME),
        replaced_by=pl.lit(None, pl.String),
        state=pl.struct(field.name for field in schema.fields),
    )


def _fine(
    register: Register, agency: AgencyCode, schema: RegisterSchema, states: pl.DataFrame, events: pl.DataFrame
) -> pl.Series:
    """Which rows keep every rule, under their own key, of this writer."""
    bad = broken(schema, states)["row"].unique()
    fine = ~pl.int_range(states.height, dtype=pl.UInt32, eager=True).is_in(bad.implode())
    fine &= (states[register.key_field] == events["key"]).fill_null(value=False)
    if register.key_starts_with_writer:
        fine &= events["key"].str.starts_with(own_key_start(agency))
    return fine
