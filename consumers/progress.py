"""How far a bootstrap is: events read, rate, time left."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Offsets committed against the end offsets seen at the start; ``started`` and ``now`` are monotonic seconds."""

    begun: int
    """Offsets committed before, by an earlier run."""
    target: int
    started: float
    done: int = field(init=False)
    _now: float = field(init=False)

    def __post_init__(self) -> None:
        self.done, self._now = self.begun, self.started

    def moved(self, done: int, now: float) -> None:
        self.done, self._now = done, now

    @property
    def rate(self) -> float:
        """Events a second since the start of this run."""
        seconds = self._now - self.started
        return (self.done - self.begun) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None while there is none."""
        return max(self.target - self.done, 0) / self.rate if self.rate > 0 else None

    def __str__(self) -> str:
        share = 100 * self.done / self.target if self.target else 100
        left = "" if self.seconds_left is None else f", {self.seconds_left:,.0f} s left"
        return f"{self.done:,} of {self.target:,} events ({share:.0f} %), {self.rate:,.0f}/s{left}"
