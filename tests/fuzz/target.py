"""A reader under test: what it is given, and what may come of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bus.errors import BusError
from tests.fuzz.mutating import BINARY, Mutator, mutated

MEMORY_MB = 512
"""Of address space above what the process had before the first input."""
GROWTH_MB = 160
"""Of resident memory that a single input may cost."""
WALL_SECONDS = 60.0
"""For one input, beside its ``cpu_seconds``. Shared machines stand still for seconds, so that processor time is what counts."""


@dataclass(frozen=True)
class Target:
    read: Callable[[bytes], bool]
    """True where the input was taken, False where it was refused in part; raises one of ``refusals``."""
    samples: Sequence[bytes]
    cases: Sequence[bytes] = ()
    """Hostile on purpose: tried first."""
    mutators: Sequence[Mutator] = BINARY
    dress: Callable[[Random, bytes], bytes] = lambda _random, data: data
    """Makes a changed sample look whole again: lengths and sums."""
    refusals: tuple[type[BaseException], ...] = (BusError,)
    cpu_seconds: float = 3.0
    short: int = 2_000
    """Inputs in the test command."""
    read_many: Callable[[Sequence[bytes]], int] | None = None
    """Many at once, for readers whose set-up costs more than an input; how many were taken. Raises nothing at all."""

    def input(self, seed: int, number: int) -> bytes:
        if number < len(self.cases):
            return self.cases[number]
        random = Random((seed << 40) + number)  # noqa: S311 - test data
        if random.random() < 0.01:
            return random.choice(self.samples)
        return self.dress(random, mutated(random, self.samples, self.mutators))
