"""The event: full state of one subject in one register after a change, plus who, when, which version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from bus.names import AgencyCode, RegisterName


class Op(StrEnum):
    UPSERT = "UPSERT"
    DELETE = "DELETE"
    """No state; followed by a tombstone that says the same."""
    MERGE = "MERGE"
    """No state; ``replaced_by`` names the identity that lives on. No tombstone: the pointer lasts."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one subject. Times are UTC with microseconds."""

    register: RegisterName
    event_id: UUID
    op: Op
    key: str
    version: int
    source: AgencyCode
    occurred_at: datetime
    recorded_at: datetime
    replaced_by: str | None
    state: Mapping[str, Any] | None


MARKER_KEY = b"\x00lienthong.marker"
"""Reserved key of the daily record that lets a quiet partition compact its tail; replicas ignore it.

Its value is null, so that clients of all makes take it for a delete of what they never had.
"""


def next_version(last: int | None, now_us: int) -> int:
    """Version of a key's next event: one more than its last, or the wall clock in µs, whichever is higher.

    The same rule for every kind of adapter, so that methods can be swapped, and a re-creation after a delete always
    wins. A clock that jumps back only slows the numbers down; it never makes a later event lose.
    """
    return now_us if last is None else max(last + 1, now_us)
