"""Open transactions: each holds up every read_committed reader of its partition, whoever else writes there."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from consumers.stores.model import Partition

OPEN_SECONDS = 3.0
"""A transaction of ours is committed within a second; the broker ends a dead writer's after 10 s, anyone's after 30."""


@dataclass(slots=True)
class OpenTransactions:
    """Where readers stand still, and since when. ``clock`` is in monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _since: dict[Partition, tuple[int, float]] = field(default_factory=dict)
    """Per partition that has records beyond its last stable offset: that offset, and when it was first seen so."""

    def seen(self, found: Iterable[tuple[Partition, int | None, int | None]]) -> None:
        """High watermarks and last stable offsets as of the last fetch."""
        for at, high, stable in found:
            if high is None or stable is None or high <= stable:
                self._since.pop(at, None)
            elif self._since.get(at, (-1, 0.0))[0] != stable:
                self._since[at] = stable, self.clock()

    def told(self) -> str:
        """The partition that has stood still for longest, if it has for long; else empty."""
        at, (stable, since) = min(self._since.items(), key=lambda item: item[1][1], default=(None, (0, 0.0)))
        seconds = self.clock() - since
        if at is None or seconds < OPEN_SECONDS:
            return ""
        return (
            f"open transaction in {at.topic} partition {at.partition} at offset {stable}, for {seconds:.0f} s: its "
            "writer is slow or dead, then the broker ends it"
        )
