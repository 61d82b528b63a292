from collections.abc import Sequence

from aiokafka import ConsumerRecord

from bus import wire
from bus.event import MARKER_KEY
from bus.names import SchemaId


def schema_ids(records: Sequence[ConsumerRecord]) -> set[SchemaId]:
    """Ids in the records' prefixes; a value too short or with another first byte names none, and is parked later."""
    prefixes = {record.value[: wire.PREFIX_BYTES] for record in records if record.value and record.key != MARKER_KEY}
    return {
        SchemaId(int.from_bytes(prefix[1:], "big"))
        for prefix in prefixes
        if len(prefix) == wire.PREFIX_BYTES and prefix[0] == 0
    }
