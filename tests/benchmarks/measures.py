"""The measures of a run, in the order in which they are taken; each gives the figures it was asked for."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from tests.benchmarks.debezium import Debezium
from tests.benchmarks.events import residents, version_now
from tests.benchmarks.latency import latency
from tests.benchmarks.limits import bare_executemany, raw_copy
from tests.benchmarks.lookups import lookups
from tests.benchmarks.replica import OurReplica
from tests.benchmarks.rounds import Found, Ratio, Round, summed_up, times, wanted_by
from tests.benchmarks.sending import Target, send_in_bulk, send_one_by_one
from tests.benchmarks.took import Took
from tests.benchmarks.topics import Topic, append_round, target
from tests.benchmarks.workshop import Workshop

POSTGRES = (
    Ratio("pg_vs_debezium", "pg", "debezium"),
    Ratio("pg_vs_copy", "pg", "copy"),
    Ratio("columnar_vs_row", "pg", "rows"),
    Ratio("poison_vs_clean", "pg_poison", "pg"),
)
SQLITE = (Ratio("sqlite_vs_executemany", "sqlite", "executemany"),)
UPDATE = (Ratio("pg_update_vs_debezium", "pg_update", "debezium_update"),)
PUBLISH = (Ratio("publish_vs_send", "publish", "send"),)
SCALING = (
    Ratio("pg_scaling_4x", "pg_large", "pg_small", times),
    Ratio("sqlite_scaling_4x", "sqlite_large", "sqlite_small", times),
)


@dataclass(frozen=True, slots=True)
class Measure:
    """Some figures that are found together."""

    keys: tuple[str, ...]
    take: Callable[[Workshop, Collection[str]], Found]
    """Given the workshop and the keys that are wanted."""


def in_rounds(ratios: Sequence[Ratio], play: Callable[[Workshop, Round], None]) -> Measure:
    """A measure that lets its contenders run round after round."""

    def take(shop: Workshop, keys: Collection[str]) -> Found:
        asked = [ratio for ratio in ratios if ratio.key in keys]
        rounds = [Round(wanted_by(asked), shop.say) for _ in range(shop.sizes.rounds)]
        for each in rounds:
            play(shop, each)
        return summed_up(rounds, asked)

    return Measure(tuple(ratio.key for ratio in ratios), take)


def from_empty_into_postgres(shop: Workshop, this: Round) -> None:
    topic = shop.topic(shop.sizes.events)
    with shop.servers.database("ours") as database:
        this.run("pg", OurReplica(shop.folder("pg"), topic, database).fill)
        if "pg" in this.took:
            this.run("copy", partial(raw_copy, database))
    if "pg_poison" in this.wanted:
        with shop.servers.database("poison") as database:
            topic_with = shop.poisoned_topic(shop.sizes.events)
            this.run("pg_poison", OurReplica(shop.folder("pg-poison"), topic_with, database).fill)
    with shop.servers.database("debezium") as database:
        this.run("debezium", lambda: Debezium(shop.kit(), shop.folder("debezium"), topic, database).fill())
    with shop.servers.database("by_rows") as database:
        this.run("rows", OurReplica(shop.folder("rows"), topic, database, decoding="rows").fill)


def from_empty_into_sqlite(shop: Workshop, this: Round) -> None:
    folder = shop.folder("sqlite")
    file = folder / "replica.db"
    this.run("sqlite", OurReplica(folder, shop.topic(shop.sizes.events), f"sqlite:///{file}").fill)
    if "sqlite" in this.took:
        this.run("executemany", partial(bare_executemany, file, folder / "bare.db"))


def every_row_again(shop: Workshop, this: Round) -> None:
    """Both fill from a topic of this round, unmeasured; then the same residents come once more, in higher versions."""
    topic = shop.fresh_topic(f"again{version_now()}", shop.sizes.events)
    with shop.servers.database("ours") as ours, shop.servers.database("debezium") as theirs:
        replica = OurReplica(shop.folder("pg-update"), topic, ours)
        peer = Debezium(shop.kit(), shop.folder("debezium-update"), topic, theirs)
        both = Round({"replica filled", "Debezium filled"}, shop.say)
        both.run("replica filled", replica.fill)
        both.run("Debezium filled", peer.fill)
        first = append_round(topic)
        if "replica filled" in both.took:
            this.run("pg_update", replica.update)
        if "Debezium filled" in both.took:
            this.run("debezium_update", partial(peer.update, first))


def publish(shop: Workshop, this: Round) -> None:
    topic, states = shop.fresh_topic(f"publish{version_now()}", 1), residents(shop.sizes.events)
    this.run("publish", lambda: asyncio.run(_published(topic, states, send_in_bulk)))
    this.run("send", lambda: asyncio.run(_published(topic, states, send_one_by_one)))


async def _published(topic: Topic, states: pl.DataFrame, send: Callable[[Target, pl.DataFrame, int], object]) -> Took:
    """From states in memory to the last acknowledgement."""
    async with target(topic) as where:
        began = time.perf_counter()
        await send(where, states, version_now())  # type: ignore[misc]
        return Took(states.height, time.perf_counter() - began)


def at_two_sizes(shop: Workshop, this: Round) -> None:
    for size, events in (("small", shop.sizes.scaling), ("large", 4 * shop.sizes.scaling)):
        topic, folder = shop.topic(events), shop.folder(f"scaling-{size}")
        with shop.servers.database("scaling") as database:
            this.run(f"pg_{size}", OurReplica(folder / "pg", topic, database).fill)
        file = folder / "replica.db"
        this.run(f"sqlite_{size}", OurReplica(folder / "sqlite", topic, f"sqlite:///{file}").fill)
        file.unlink(missing_ok=True)


def memory(shop: Workshop, _keys: Collection[str]) -> Found:
    """The higher of both stores' peaks."""
    topic, folder = shop.topic(shop.sizes.memory), shop.folder("memory")
    this = Round({"pg_memory", "sqlite_memory"}, shop.say)
    with shop.servers.database("memory") as database:
        this.run("pg_memory", OurReplica(folder / "pg", topic, database).fill)
    this.run("sqlite_memory", OurReplica(folder / "sqlite", topic, f"sqlite:///{folder / 'replica.db'}").fill)
    found = summed_up([this], ())
    peaks = [found[key] for key in ("pg_memory_rss_mb", "sqlite_memory_rss_mb") if key in found]
    return {**found, "replica_rss_mb": max(peaks)} if len(peaks) == 2 else found


MEASURES = (
    in_rounds(POSTGRES, from_empty_into_postgres),
    in_rounds(SQLITE, from_empty_into_sqlite),
    in_rounds(UPDATE, every_row_again),
    in_rounds(PUBLISH, publish),
    Measure(("latency_p50_ms", "latency_p99_ms"), latency),
    Measure(("lookup_per_s", "lookup_p99_ms"), lookups),
    in_rounds(SCALING, at_two_sizes),
    Measure(("replica_rss_mb",), memory),
)


def chosen(keys: Collection[str]) -> Mapping[Measure, list[str]]:
    """The measures that give these figures, each with those of its figures that are asked for."""
    by_measure = {measure: [key for key in measure.keys if key in keys] for measure in MEASURES}
    return {measure: asked for measure, asked in by_measure.items() if asked}
