"""What of an event can be read without its schema: the envelope's first fields are the same in all of them."""

from collections.abc import Iterable

from bus import varint, wire
from bus.errors import EventRefused
from bus.headers import read_tombstone


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
    try:
        _op, at = varint.read(body, _behind_string(body, 0))
        version, _end = varint.read(body, _behind_string(body, at))
    except (IndexError, ValueError):
        return None
    return version


def _behind_string(body: bytes, at: int) -> int:
    length, start = varint.read(body, at)
    if not 0 <= length <= len(body) - start:
        raise ValueError("a length beyond the body")
    return start + length
