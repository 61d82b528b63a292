"""Every reader of foreign bytes, by the name under which the command knows it."""

from collections.abc import Callable, Mapping
from functools import cache

from tests.fuzz.target import Target
from tests.fuzz.targets import kafka

_MADE: Mapping[str, Callable[[], Target]] = {
    "wire": kafka.wires,
    "batches": kafka.batches,
    "records": kafka.records,
    "tombstone": kafka.tombstones,
}
TARGETS: Mapping[str, Callable[[], Target]] = {name: cache(made) for name, made in _MADE.items()}
