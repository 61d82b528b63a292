"""A record batch that nobody can take apart, as one record that stands for it: without key, saying why.

A broker looks into what it is sent, and still takes a batch that unpacks to more than anybody's memory. Its neighbours
go on; the record in its place is parked like any event that cannot be read.
"""

from collections.abc import Iterable

from bus.varint import written

WHY = "lienthong-unreadable"
"""Header of a record that stands for what could not be read."""
THROUGH = "lienthong-last-offset"
SIZE = "lienthong-bytes"
MOST_BYTES = 1 << 20
"""Of the batch that the record keeps: brokers take no larger one unless told to."""


def stand_in(why: str, data: bytes, *, later: int, through: int) -> bytes:
    """One record in Kafka's format, ``later`` offsets after its batch began, for all up to offset ``through``."""
    value = bytes(data[:MOST_BYTES])
    headers = {WHY: why, THROUGH: str(through), SIZE: str(len(data))}
    told = b"".join(_sized(name.encode()) + _sized(text.encode()) for name, text in headers.items())
    body = b"\x00" + written(0) + written(later) + written(-1) + _sized(value) + written(len(headers)) + told
    return _sized(body)


def why(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """Why a record without key stands for something unreadable; None where it does not."""
    found = dict(headers).get(WHY)
    return None if found is None else found.decode(errors="replace")[:200]


def _sized(data: bytes) -> bytes:
    return written(len(data)) + data
