"""What one contender needed in one round."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Took:
    events: int
    seconds: float
    more: dict[str, Any] = field(default_factory=dict)
    """Further absolute figures: ``cpu_s``, ``whole_s``, ``rss_mb``."""

    @property
    def per_second(self) -> float:
        return self.events / self.seconds
