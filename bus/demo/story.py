"""What the demo is made of and what it came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.demo.commands import Daemon
from bus.demo.form import Answer
from bus.demo.proof import Verdict
from bus.names import AgencyCode, RegisterName


@dataclass(frozen=True, slots=True)
class Plan:
    """One replica of the demo: whose it is, which registers it may have."""

    name: str
    agency: AgencyCode
    registers: tuple[RegisterName, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """A replica of the demo while it runs."""

    plan: Plan
    daemon: Daemon
    config: Path
    database: str
    seconds: float


@dataclass(slots=True)
class Story:
    """What happened, for the summary."""

    reports: dict[RegisterName, Any] = field(default_factory=dict)
    """What each ``lienthong publish file`` reported."""
    move: Any = None
    """What the publication of the move reported: one row changed."""
    replicas: list[Filled] = field(default_factory=list)
    arrivals: dict[str, float] = field(default_factory=dict)
    """Seconds from the event's ``recorded_at`` to the new address being readable in a replica."""
    answers: list[Answer] = field(default_factory=list)
    verdicts: dict[tuple[str, RegisterName], Verdict] = field(default_factory=dict)
    proofs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What ``lienthong replica compare`` said of each replica."""

    @property
    def equal(self) -> bool:
        rows = all(verdict.equal for verdict in self.verdicts.values())
        topics = all(each["equal"] for proof in self.proofs.values() for each in proof.values())
        return bool(self.verdicts) and rows and topics
