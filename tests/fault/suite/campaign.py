"""A campaign: load from start to end, storms of small faults, great faults measured one by one, the judge at the end."""

import asyncio
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bus.crashpoints import NAMES
from tests.fault.suite.faults import AFTER_MENDING, GREAT, SMALL, Act, Saboteur
from tests.fault.suite.flowing import await_all, await_end, await_flow
from tests.fault.suite.judge import Verdict, judge
from tests.fault.suite.keepers import FileDiffKeeper, Keeper, Ledger
from tests.fault.suite.source import Exports, Source
from tests.fault.suite.world import CIVIL, PREFIX, ReplicaPlace, World
from tests.producing import IDENTITY, POLICE

AWAY_SECONDS = 1.0
EXPORT_SECONDS = 0.2
FEW_ROWS = 50  # of a relay's transaction, so that there are many to break
SAID_SECONDS = 2.0
WARM_SECONDS = 60.0  # a daemon's memory is measured from when it has seen everything once
FEWEST_WEIGHTS = 8
GROWN = 1.25  # of memory: caches fill, the allocator keeps
FILES = 5  # more may be open for a moment
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Weight:
    pid: int
    rss_mb: float
    files: int


@dataclass(slots=True)
class Outcome:
    """What a campaign came to; written to build/soak.json."""

    seconds: float
    changes: int
    """Rows that the agency's program has committed meanwhile."""
    ledger: Ledger
    verdict: Verdict
    recoveries: Mapping[str, Sequence[float]]
    weights: Sequence[Weight]
    """Of the process that is never killed, from time to time."""
    missing: Sequence[str]
    """Great faults and crash points that have not come up."""

    @property
    def flat(self) -> bool | None:
        """Whether one process lived through all, and needs no more in the end than in the beginning; None: too short."""
        if len(self.weights) < FEWEST_WEIGHTS:
            return None
        first, last = self._quarters()
        return (
            len({each.pid for each in self.weights}) == 1
            and last[0] <= GROWN * first[0]
            and last[1] <= first[1] + FILES
        )

    def _quarters(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Medians of MB and open files, of the first and the last quarter."""
        size = max(len(self.weights) // 4, 1)
        first, last = (
            (statistics.median(each.rss_mb for each in some), statistics.median(each.files for each in some))
            for some in (self.weights[:size], self.weights[-size:])
        )
        return first, last

    def figures(self) -> dict[str, Any]:
        judged = asdict(self.verdict)
        brokers = [*self.recoveries.get("broker killed", ()), *self.recoveries.get("controller killed", ())]
        database = self.recoveries.get("database killed", ())
        first, last = self._quarters() if self.weights else ((None, None), (None, None))
        return {
            "seconds": round(self.seconds),
            "faults": sum(self.ledger.faults.values()),
            "sigkills": self.ledger.sigkills,
            "changes_per_s": round(self.changes / self.seconds, 1),
            **{name: judged[name] for name in ("events", "rows", "lost", "doubled", "misordered", "unequal_replicas")},
            "miscounted": self.verdict.miscounted,
            "misparked": self.verdict.misparked,
            "recovery_broker_p50_s": _middle(brokers),
            "recovery_broker_max_s": max(brokers, default=None),
            "recovery_database_s": max(database, default=None),
            "rss_mb_start": first[0],
            "rss_mb_end": last[0],
            "fds_start": first[1],
            "fds_end": last[1],
            "flat": self.flat,
            "weighed": len(self.weights),
            "missing": list(self.missing),
            "recoveries_s": {
                name: {"times": len(found), "p50": _middle(found), "max": max(found)}
                for name, found in self.recoveries.items()
            },
            "faults_by_kind": dict(self.ledger.faults.most_common()),
            "exits": dict(self.ledger.exits),
            "surprises": self.ledger.surprises,
            "details": self.verdict.details,
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.figures(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _middle(found: Sequence[float]) -> float | None:
    return round(statistics.median(found), 2) if found else None


@dataclass(slots=True)
class Campaign:
    world: World
    source: Source
    exports: Exports
    keepers: Sequence[Keeper]
    witness: Keeper | None
    replicas: Sequence[ReplicaPlace]
    saboteur: Saboteur
    chance: random.Random
    say: Say
    began: float = field(default_factory=time.monotonic)
    changes_before: int = 0
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    weights: list[Weight] = field(default_factory=list)

    def begin(self) -> None:
        """Count time and changes from now on."""
        self.began, self.changes_before = time.monotonic(), self.source.changes

    @property
    def ledger(self) -> Ledger:
        return self.saboteur.ledger

    @property
    def faults(self) -> int:
        return sum(self.ledger.faults.values())

    def storm(self, until: Callable[[], bool], acts: Mapping[Act, int] = SMALL) -> None:
        """Small faults, one upon the other, while processes die at their crash points and come back."""
        for keeper in self.keepers:
            keeper.teased = True
        while not until():
            self.chance.choices(list(acts), list(acts.values()))[0](self.saboteur)
            time.sleep(self.chance.uniform(0.02, 0.2))

    def calm(self) -> None:
        """Everything is whole, and events flow: first through the processes that lived through it, then new ones."""
        for keeper in self.keepers:
            keeper.teased = False
        self.saboteur.mend()
        await_flow(self.source, self.replicas)
        await_all(self.world, self.replicas, self.exports)
        for keeper in self.keepers:
            keeper.renew()
        await_flow(self.source, self.replicas)
        self.say(f"{self.faults} faults, {self.ledger.sigkills} of them SIGKILLs; all is whole, events flow")

    def measure(self, name: str, act: Act) -> float:
        """One fault by itself: seconds until events flow again on every partition into every replica.

        Of a fault that lasts, what the event that waited longest took.
        """
        self.saboteur.await_in_sync()
        self.saboteur.struck.clear()
        await_flow(self.source, self.replicas)
        if name in AFTER_MENDING:
            took = self._after_mending(name, act)
        else:
            took = self._meanwhile(act)
            self.saboteur.mend()
        self.recoveries[name].append(round(took, 2))
        self.say(f"{name}: events flow again after {took:.1f} s")
        self._weigh()
        return took

    def _meanwhile(self, act: Act) -> float:
        longest, ended = 0.0, False
        with ThreadPoolExecutor(1, thread_name_prefix="fault") as thread:
            acting = thread.submit(act, self.saboteur)
            while not (self.saboteur.struck.wait(0.01) or acting.done()):
                pass
            while not ended:
                ended, began = acting.done(), time.monotonic()
                longest = max(longest, await_flow(self.source, self.replicas) - began)
            acting.result()
        return longest

    def _after_mending(self, name: str, act: Act) -> float:
        act(self.saboteur)
        time.sleep(AWAY_SECONDS)
        self.saboteur.mend()
        back = self.saboteur.mended_at if name == "database killed" else time.monotonic()
        return await_flow(self.source, self.replicas) - back

    def _weigh(self) -> None:
        if self.witness is not None and time.monotonic() - self.began > WARM_SECONDS and self.witness.child:
            with suppress(psutil.NoSuchProcess):  # the next weight has another process, which is told
                process = psutil.Process(self.witness.child.pid)
                self.weights.append(Weight(process.pid, process.memory_info().rss / 2**20, process.num_fds()))

    def _missing(self) -> list[str]:
        points = [point for keeper in self.keepers for point in keeper.points]
        died = [name for name in dict.fromkeys(points) if not self.ledger.faults[f"killed at {name}"]]
        return [*died, *(name for name, _ in GREAT if name not in self.recoveries)]

    def finish(self) -> Outcome:
        """Let everything arrive, stop everybody, and judge."""
        self.calm()
        seconds, changes = time.monotonic() - self.began, self.source.changes - self.changes_before
        self._weigh()
        self.source.stop()
        self.keepers[-1].stop()
        await_end(self.world, self.replicas)
        for keeper in (*self.keepers[:-1], *([self.witness] if self.witness else [])):
            keeper.stop()
        verdict = asyncio.run(judge(self.world, self.exports, self.replicas, self.saboteur.poisoned))
        self.ledger.surprises += unheard(self.world.directory / "processes.log")
        return Outcome(seconds, changes, self.ledger, verdict, self.recoveries, self.weights, self._missing())


def unheard(log: Path) -> list[str]:
    """Failures that nobody in a process took note of, as the event loop tells them at the end."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return [line.strip()[:300] for line in lines if "was never retrieved" in line]


@contextmanager
def campaign(
    world: World, *, rate: float, seed: int, witness: bool, export_seconds: float = EXPORT_SECONDS, say: Say = print
) -> Iterator[Campaign]:
    """All processes at work on a steady load; ``export_seconds`` pass between two exports of the office."""
    chance, ledger = random.Random(seed), Ledger()  # noqa: S311 - the same faults in every run, as far as clocks allow
    replicas = [world.replica("replica-sqlite", "sqlite"), world.replica("replica-postgresql", "postgresql")]
    watched = [world.replica("replica-witness", "postgresql")] if witness else []
    with psycopg.connect(world.truth, autocommit=True) as server:
        for place in (*replicas, *watched):
            if place.database.startswith("postgresql"):
                server.execute(f'CREATE DATABASE "{place.name}"')
    exports = Exports(world.directory, seed)
    keepers = _keepers(world, replicas, exports, ledger, rate, seed, export_seconds)
    observer = [_replica(world, place, ledger, seed) for place in watched]
    with Source(world, rate, seed) as source:
        for keeper in (*keepers, *observer):
            keeper.start()
        saboteur = Saboteur(world, keepers, ledger, chance)
        try:
            yield Campaign(
                world,
                source,
                exports,
                keepers,
                observer[0] if observer else None,
                [*replicas, *watched],
                saboteur,
                chance,
                say,
            )
        except TimeoutError:
            for keeper in (*keepers, *observer):
                keeper.ask_where()
            time.sleep(SAID_SECONDS)
            raise
        finally:
            for keeper in (*keepers, *observer):
                keeper.abandon()


def _keepers(
    world: World,
    replicas: Sequence[ReplicaPlace],
    exports: Exports,
    ledger: Ledger,
    rate: float,
    seed: int,
    pause: float,
) -> list[Keeper]:
    """The file diff comes last: it is let finish its export before the others stop."""
    relay = world.command("outbox", "relay", register=IDENTITY)
    relay += ["--url", world.wired_database, "--register", IDENTITY, "--lease", "1"]
    relay += ["--transaction-rows", str(max(FEW_ROWS, int(rate)))]
    told = {"agency": POLICE, "kafka": world.kafka, "prefix": PREFIX, "catalog": str(world.catalog_file)}
    program = ["tests.fault.suite.publishing:main", json.dumps(told | {"database": world.wired_database})]

    def publish(export: Path) -> list[str]:
        command = world.command("publish", "file", CIVIL, str(export), register=CIVIL)
        return [*command, "--state", str(world.directory / "state"), "--confirm-deletes"]

    keepers = [
        Keeper("relay", world.nursery, relay, _points("outbox."), ledger, random.Random(seed + 1)),  # noqa: S311
        Keeper("publisher", world.nursery, program, (), ledger, random.Random(seed + 2)),  # noqa: S311
        *(_replica(world, place, ledger, seed + 3) for place in replicas),
        FileDiffKeeper(
            world.nursery,
            publish,
            exports.next,
            _points("filediff."),
            ledger,
            random.Random(seed + 4),  # noqa: S311
            pause,
        ),
    ]
    for keeper in keepers:
        keeper.teased = True
    return keepers


def _replica(world: World, place: ReplicaPlace, ledger: Ledger, seed: int) -> Keeper:
    argv = ["lienthong", "replica", "run", "--config", str(place.config)]
    points = [*_points("replica."), *_points("parked.")]
    return Keeper(place.name, world.nursery, argv, points, ledger, random.Random(seed))  # noqa: S311


def _points(start: str) -> list[str]:
    return [name for name in NAMES if name.startswith(start)]


def run(made: Campaign, seconds: float, great: Sequence[str] = ()) -> Outcome:
    """Storms and measured faults in turn, for so long; with names of great faults, those only and no storm."""
    chosen = [(name, act) for name, act in GREAT if not great or name in great]
    if great:
        made.calm()
        made.begin()
    end = made.began + seconds
    while time.monotonic() < end:
        for name, act in chosen:
            if time.monotonic() > end:
                break
            if not great:
                pause = min(time.monotonic() + made.chance.uniform(8, 20), end)
                made.storm(lambda pause=pause: time.monotonic() > pause)
                made.calm()
            made.measure(name, act)
    return made.finish()
