"""Standing: a lane's positions, and what a batch moves. Values alone; time and the broker's word are given."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from consumers.stores.model import Advance, Partition, Position


@dataclass(slots=True)
class Standing:
    """Where each partition stands, as last committed."""

    began: datetime
    """As of when nothing was missed by who stood at the end, when the lane was made."""
    positions: dict[Partition, Position] = field(default_factory=dict)

    def offsets(self) -> dict[Partition, int]:
        return {at: position.next_offset for at, position in self.positions.items()}

    def done(self) -> int:
        """Offsets committed in all partitions together."""
        return sum(position.next_offset for position in self.positions.values())

    def reached(self, offsets: Mapping[Partition, int]) -> bool:
        """Whether everything before these offsets is committed."""
        return reached(self.positions, offsets)

    def advances(
        self,
        offsets: Mapping[Partition, int],
        expected: Mapping[Partition, int],
        at_end: Callable[[Partition, int], bool],
        now: datetime,
    ) -> list[Advance]:
        """Moves from ``expected``; only what moved, or is at its end, to say: still caught up."""
        return [
            Advance(at, self.positions[at].epoch, expected[at], offset, self._told(at, now, ended=at_end(at, offset)))
            for at, offset in offsets.items()
            if offset != expected[at] or at_end(at, offset)
        ]

    def _told(self, at: Partition, now: datetime, *, ended: bool) -> datetime | None:
        """As of when nothing is missed; a fill that has read nothing yet has missed nothing so far."""
        if ended:
            return now
        return self.began if self.positions[at].caught_up_at is None else None

    def committed(self, advances: Iterable[Advance]) -> None:
        """These moves have been made."""
        for move in advances:
            held = self.positions[move.at]
            self.positions[move.at] = replace(
                held, next_offset=move.next_offset, caught_up_at=move.caught_up_at or held.caught_up_at
            )


def reached(positions: Mapping[Partition, Position], offsets: Mapping[Partition, int]) -> bool:
    """Whether everything before these offsets is behind these positions."""
    return all(at in positions and positions[at].next_offset >= offset for at, offset in offsets.items())
