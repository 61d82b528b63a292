"""A steady load from a process of its own: one resident's new state every so often, each told on stdout as it goes out.

``python -m tests.benchmarks.steady KAFKA PREFIX RATE SECONDS RESIDENTS``
"""

import asyncio
import sys
import time
from itertools import islice

from producers import Publisher
from tests.benchmarks.events import IDENTITY, residents
from tests.producing import publisher_settings


async def publish(kafka: str, prefix: str, rate: int, seconds: int, known: int) -> None:
    """Calls leave at their appointed times whether or not those before have been acknowledged."""
    settings = publisher_settings(kafka, prefix, registers=(IDENTITY,))
    states = islice(residents(known).iter_rows(named=True), rate * seconds)
    async with Publisher(settings) as publisher, asyncio.TaskGroup() as calls:
        began = time.monotonic()
        for number, state in enumerate(states):
            await asyncio.sleep(began + number / rate - time.monotonic())
            calls.create_task(_call(publisher, state))


async def _call(publisher: Publisher, state: dict[str, object]) -> None:
    sys.stdout.write(f"{state['personal_id']} {time.monotonic_ns()}\n")
    sys.stdout.flush()
    await publisher.publish(IDENTITY, state)


if __name__ == "__main__":
    asyncio.run(publish(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
