"""A captured table's row as it travels until the relay maps it: which mapping, and the row's columns. Pure."""

import json
import re
from collections.abc import Callable
from typing import Any

from bus.errors import StateInvalid

MAPPING, COLUMNS = "m", "row"
START, START_IS = re.compile(rb'\A\{"m":([0-9]{1,18}),'), b'{"m":%d,'


def packed(mapping: int, columns: str) -> bytes:
    """What the triggers write too: number of the stored mapping, columns as PostgreSQL writes them in JSON."""
    return f'{{"{MAPPING}":{mapping},"{COLUMNS}":{columns}}}'.encode()


def unpacked(payload: bytes | None) -> tuple[int, dict[str, str | None]]:
    """Mapping and cells. Numbers keep their digits, lists and records stay JSON. Raises StateInvalid."""
    try:
        told = json.loads(payload or b"", parse_float=str, parse_int=str)
        columns = told[COLUMNS].items()
        return int(told[MAPPING]), {_text(name): _cell(value) for name, value in columns}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StateInvalid("payload: expected a captured row; leave the format row to the triggers") from error


def moved(payload: bytes, to: Callable[[int], int]) -> bytes:
    """The same row under another mapping's number; what no trigger wrote stays as it is."""
    return START.sub(lambda found: START_IS % to(int(found[1])), payload, count=1)


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    return _text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _text(value: str) -> str:
    """Raises ValueError for a lone surrogate, which is no text."""
    value.encode()
    return value
