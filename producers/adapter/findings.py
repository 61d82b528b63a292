"""What looking an adapter over finds: each point with its verdict and remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bus.errors import BusError

Verdict = Literal["fine", "look", "wrong", "unknown"]
NOT_SO = 1
"""Exit code where rows of the sample would be refused, and nothing else is wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One point."""

    about: str
    """Register, or what is common to all."""
    point: str
    verdict: Verdict
    """``look``: it would run, and somebody should look; ``unknown``: it could not be looked at."""
    told: str
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What cleaning and validation do to some of a sample's values, without any of them."""

    register: str
    effect: Literal["changed", "doubted", "refused"]
    field: str
    rule: str
    rows: int
    first: int
    """Line of the export, or row of the table."""
    expected: str
    """Of doubted and refused values: what to do."""


@dataclass(slots=True)
class Checklist:
    findings: list[Finding] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def add(self, about: str, point: str, told: str, verdict: Verdict = "fine", exit_code: int = 0) -> None:
        self.findings.append(Finding(about, point, verdict, told, exit_code))

    @contextmanager
    def looking(self, about: str, point: str) -> Iterator[None]:
        """What is raised in the block is a finding; what comes after it has to do without."""
        try:
            yield
        except BusError as error:
            self.add(about, point, str(error), "wrong", error.exit_code)

    @property
    def exit_code(self) -> int:
        """Of the first thing that is wrong; else 1 where rows would be refused."""
        wrong = next((each.exit_code or NOT_SO for each in self.findings if each.verdict == "wrong"), 0)
        return wrong or (NOT_SO if any(each.effect == "refused" for each in self.effects) else 0)

    def as_json(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "findings": [asdict(each) for each in self.findings],
            "sample": [asdict(each) for each in self.effects],
        }
