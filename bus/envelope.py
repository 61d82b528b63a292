"""What of an event can be read without its schema: the envelope's first fields are the same in all of them."""

from collections.abc import Iterable

from bus import wire
from bus.errors import EventRefused
from bus.headers import read_tombstone

LONGEST_LONG = 10  # bytes: seven bits in each


def version_of(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    """The version of an event or a tombstone; None for what is neither."""
    try:
        if value is None:
            return read_tombstone(headers).version
        _id, body = wire.split(value)
    except EventRefused:
        return None
    return _version(body)


def _version(body: bytes) -> int | None:
    """``event_id``, ``op`` and ``key`` stand before it: a string, an enum's long, a string."""
    at = _behind_string(body, 0)
    at = None if at is None else _long(body, at)[1]
    at = None if at is None else _behind_string(body, at)
    return None if at is None else _long(body, at)[0]


def _behind_string(body: bytes, at: int) -> int | None:
    length, start = _long(body, at)
    if length is None or start is None or length < 0 or start + length > len(body):
        return None
    return start + length


def _long(body: bytes, at: int) -> tuple[int | None, int | None]:
    """A long in Avro's zigzag coding, and where what follows begins; None twice where there is none."""
    coded = 0
    for place, byte in enumerate(body[at : at + LONGEST_LONG]):
        coded |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (coded >> 1) ^ -(coded & 1), at + place + 1
    return None, None
