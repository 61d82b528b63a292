"""``Replica.get`` by random ids on a large SQLite replica."""

import random
import time
from collections.abc import Collection

from bus.errors import Unavailable
from consumers.lookup import Replica
from tests.benchmarks.events import SEED, residents
from tests.benchmarks.replica import OurReplica
from tests.benchmarks.rounds import Found
from tests.benchmarks.workshop import Workshop


def lookups(shop: Workshop, _keys: Collection[str]) -> Found:
    """One thread, one connection, the replica's file warm or not as the filling left it."""
    folder = shop.folder("lookups")
    database = f"sqlite:///{folder / 'replica.db'}"
    OurReplica(folder, shop.topic(shop.sizes.residents), database).fill()
    ids = residents(shop.sizes.residents)["personal_id"].to_list()
    asked = random.Random(SEED).choices(ids, k=shop.sizes.lookups)  # noqa: S311 - which ids is no secret
    took = _timed(database, asked)
    return {
        "lookup_per_s": len(took) / (sum(took) / 1e9),
        "lookup_p50_ms": percentile(took, 50) / 1e6,
        "lookup_p99_ms": percentile(took, 99) / 1e6,
    }


def percentile(values: Collection[int], percent: int) -> int:
    """The smallest value that so many percent of all do not exceed."""
    return sorted(values)[max(-(-len(values) * percent // 100) - 1, 0)]


def _timed(database: str, asked: Collection[str]) -> list[int]:
    """Nanoseconds of each call."""
    took = []
    with Replica.open(database) as replica:
        for key in asked:
            began = time.perf_counter_ns()
            found = replica.get("resident", key)
            took.append(time.perf_counter_ns() - began)
            if found is None:
                raise Unavailable("a resident that was published is not in the replica")
    return took
