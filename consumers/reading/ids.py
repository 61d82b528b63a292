import polars as pl

from bus import wire
from bus.event import MARKER_KEY
from bus.names import SchemaId
from bus.records import Records


def schema_ids(records: Records) -> set[SchemaId]:
    """Ids in the records' prefixes; a value too short or with another first byte names none, and is parked later."""
    prefix = pl.col("value").bin.head(wire.PREFIX_BYTES)
    prefixes = records.frame.filter(pl.col("key").ne_missing(pl.lit(MARKER_KEY))).select(prefix.unique()).to_series()
    return {
        SchemaId(int.from_bytes(prefix[1:], "big"))
        for prefix in prefixes.drop_nulls()
        if len(prefix) == wire.PREFIX_BYTES and prefix[0] == 0
    }
