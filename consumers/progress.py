"""How far a bootstrap is: events read, rate, time left."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Offsets read against the end offsets seen at the start; ``now`` is a monotonic clock in seconds."""

    target: int
    started: float
    done: int = 0
    _now: float = field(init=False)

    def __post_init__(self) -> None:
        self._now = self.started

    def moved(self, done: int, now: float) -> None:
        self.done, self._now = done, now

    @property
    def rate(self) -> float:
        """Events a second since the start."""
        seconds = self._now - self.started
        return self.done / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None while there is none."""
        return (self.target - self.done) / self.rate if self.rate > 0 else None

    def __str__(self) -> str:
        left = self.seconds_left
        share = 100 * self.done / self.target if self.target else 100
        time_left = "" if left is None else f", {max(left, 0):,.0f} s left"
        return f"{self.done:,} of {self.target:,} events ({share:.0f} %), {self.rate:,.0f}/s{time_left}"
