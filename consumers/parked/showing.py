"""Parked events as people and scripts see them: who is meant is masked, unless the bytes are asked for."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table as Sheet

from bus.log import masked
from consumers.stores.model import Parked, ParkedCount


def sheet_of(events: Sequence[Parked]) -> Sheet:
    sheet = Sheet("origin", "register", "reason", "parked", "replays", "forwarded", "key (masked)")
    for each in events:
        sheet.add_row(
            str(each.origin),
            each.register,
            each.reason,
            f"{each.parked_at:%Y-%m-%d %H:%M:%S}" if each.parked_at else "",
            str(each.replays),
            "yes" if each.forwarded_at else "no",
            key_of(each),
        )
    return sheet


def key_of(event: Parked) -> str:
    """The key as a terminal may show it: the first characters of text, of other bytes their number."""
    if event.key is None:
        return "none"
    try:
        return masked(event.key.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        return f"{len(event.key)} bytes"


def document(event: Parked, *, whole: bool = False) -> dict[str, Any]:
    """Metadata; with ``whole`` key, value and headers too, in base64."""
    told = {
        "origin": str(event.origin),
        "register": event.register,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "reason": event.reason,
        "detail": event.detail,
        "parked_at": event.parked_at and event.parked_at.isoformat(),
        "replays": event.replays,
        "forwarded_at": event.forwarded_at and event.forwarded_at.isoformat(),
        "kafka_timestamp_ms": event.kafka_timestamp_ms,
        "key_masked": key_of(event),
        "value_bytes": None if event.value is None else len(event.value),
        "headers": [name for name, _ in event.headers],
    }
    if whole:
        told |= {
            "key": _base64(event.key),
            "value": _base64(event.value),
            "headers": [[name, _base64(value)] for name, value in event.headers],
        }
    return told


def lines(event: Parked, *, whole: bool = False) -> Iterator[str]:
    """The same for reading, a fact a line; bytes as a hex dump."""
    for name, value in document(event).items():
        yield f"{name:<20}{', '.join(value) if isinstance(value, list) else '' if value is None else value}"
    if whole:
        parts = {"key": event.key, "value": event.value, **{f"header {name}": value for name, value in event.headers}}
        for name, data in parts.items():
            yield f"{name}:{' none' if data is None else ''}"
            yield from hex_lines(data or b"")


def hex_lines(data: bytes) -> Iterator[str]:
    """Sixteen bytes a line: where, what, and as ASCII."""
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"  {start:08x}  {part.hex(' '):<47}  {shown}"


def count_documents(counts: Sequence[ParkedCount]) -> list[dict[str, Any]]:
    return [
        {"register": each.register, "reason": each.reason, "events": each.events, "waiting": each.waiting}
        for each in counts
    ]


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()
