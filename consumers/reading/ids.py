from bus import wire
from bus.event import MARKER_KEY
from bus.names import SchemaId
from bus.records import Records


def schema_ids(records: Records) -> set[SchemaId]:
    """Ids in the records' prefixes; a value too short or with another first byte names none, and is parked later."""
    frame = records.frame
    heads = frame.get_column("value").bin.head(wire.PREFIX_BYTES)
    prefixes = set(heads.filter(frame.get_column("key").ne_missing(MARKER_KEY)).to_list()) - {None}
    return {
        SchemaId(int.from_bytes(prefix[1:], "big"))
        for prefix in prefixes
        if len(prefix) == wire.PREFIX_BYTES and prefix[0] == 0
    }
