"""Which compression pays: the same events published and replicated under each codec.

``python -m tests.benchmarks.compression [--events N]`` prints events a second on the way in and out, processor time of
the publisher, and bytes an event in the broker's log.
"""

import asyncio
import resource
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

from bus import kafka
from bus.cli import console
from bus.settings import KafkaSettings
from producers.release import Release
from tests.benchmarks.events import residents, version_now
from tests.benchmarks.replica import OurReplica
from tests.benchmarks.sending import BATCH_BYTES, Target, send_in_bulk
from tests.benchmarks.servers import Servers, servers
from tests.benchmarks.topics import Topic, release_of
from tests.producing import prepare

CODECS = ("none", "lz4", "snappy", "zstd", "gzip")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Found:
    publish_per_s: float
    publish_cpu_us: float
    log_bytes: float
    replicate_per_s: float


@app.command()
def compression(
    events: Annotated[int, typer.Option(min=100)] = 300_000,
    directory: Annotated[Path, typer.Option("--dir")] = Path("build/bench"),
) -> None:
    """Publish and replicate the same events under each codec, on a Kafka and a PostgreSQL of its own."""
    states = residents(events)
    table = Table("codec", "published/s", "µs of CPU an event", "bytes an event in the log", "replicated/s")
    work = directory.absolute() / "work"
    shutil.rmtree(work, ignore_errors=True)
    with servers(directory.absolute() / "stack") as started:
        for codec in CODECS:
            found = measured(started, codec, states, directory.absolute())
            table.add_row(
                codec,
                f"{found.publish_per_s:,.0f}",
                f"{found.publish_cpu_us:.1f}",
                f"{found.log_bytes:.0f}",
                f"{found.replicate_per_s:,.0f}",
            )
    shutil.rmtree(work, ignore_errors=True)
    console.print(table)


def measured(started: Servers, codec: str, states: pl.DataFrame, directory: Path) -> Found:
    topic = Topic(started.kafka, f"codec-{codec}", states.height)
    asyncio.run(prepare(topic.kafka, topic.prefix))
    release = release_of(topic)
    before, began = cpu_seconds(), time.perf_counter()
    asyncio.run(_publish(topic, codec, release, states))
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - before
    with started.database("codecs") as database:
        took = OurReplica(directory / "work" / codec, topic, database).fill()
    log = sum(file.stat().st_size for file in directory.rglob(f"{topic.name}-*/*.log"))
    return Found(states.height / seconds, cpu / states.height * 1e6, log / states.height, took.per_second)


async def _publish(topic: Topic, codec: str, release: Release, states: pl.DataFrame) -> None:
    options = {"compression_type": None if codec == "none" else codec, "max_batch_size": BATCH_BYTES}
    async with kafka.producer(KafkaSettings(bootstrap_servers=topic.kafka), **options) as client:
        await send_in_bulk(Target(client, topic.name, release), states, version_now())


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    app(prog_name="python -m tests.benchmarks.compression")
