"""Where one run works: its servers, its folder, its sizes, and the topics that it has filled."""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bus.cli import err
from tests.benchmarks.debezium import Kit, kit
from tests.benchmarks.servers import Servers
from tests.benchmarks.topics import Topic, filled


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything, and how often."""

    events: int = 500_000
    rounds: int = 3
    """Each contender once a round; figures are medians over rounds, ratios within one."""
    scaling: int = 1_000_000
    """The smaller of two sizes; the larger is four times that."""
    memory: int = 5_000_000
    residents: int = 1_000_000
    """In the replica that is looked up in."""
    lookups: int = 100_000
    latency_residents: int = 100_000
    """In the replica that the steady load changes; at least rate times seconds, so that each changes once."""
    latency_rate: int = 500
    latency_seconds: int = 60
    peer_jvm: tuple[str, ...] = ("-Xms2g", "-Xmx2g", "-XX:+UseParallelGC")


SMALL = Sizes(
    events=2_000,
    rounds=1,
    scaling=500,
    memory=2_000,
    residents=2_000,
    lookups=500,
    latency_residents=1_000,
    latency_seconds=2,
    peer_jvm=("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
)
"""Proves that everything runs; its figures mean nothing."""


@dataclass(slots=True)
class Workshop:
    directory: Path
    servers: Servers
    sizes: Sizes
    _kit: Kit | None = None
    _topics: dict[int, Topic] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    def topic(self, events: int) -> Topic:
        """A topic with one event for each of so many residents; filled once, and only ever read."""
        if events not in self._topics:
            self._topics[events] = self.fresh_topic(f"bench{events}", events)
        return self._topics[events]

    def poisoned_topic(self, events: int) -> Topic:
        """The same with some events in it that cannot be decoded."""
        if -events not in self._topics:
            self.say(f"publishing {events:,} events, some of them poison")
            self._topics[-events] = filled(self.servers.kafka, f"poison{events}", events, poison=True)
        return self._topics[-events]

    def fresh_topic(self, prefix: str, events: int) -> Topic:
        """A topic of the caller's own, to append to."""
        self.say(f"publishing {events:,} events to {prefix}")
        return filled(self.servers.kafka, prefix, events)

    def kit(self) -> Kit:
        """Debezium's sink, fetched and compiled once."""
        if self._kit is None:
            self._kit = kit(self.folder("classes"), self.sizes.peer_jvm)
        return self._kit

    def folder(self, name: str) -> Path:
        """A new empty folder."""
        path = self.directory / "work" / f"{next(self._numbers):03}-{name}"
        path.mkdir(parents=True)
        return path

    def say(self, text: str) -> None:
        err.print(text, markup=False, highlight=False)
