"""Gauging: what a replica's registers show while it runs, and a line in the log for who keeps one waiting."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from bus import metrics
from bus.health import Unready
from bus.names import RegisterName
from consumers.following import Following

log = structlog.get_logger(__name__)

STALL_LOOK_SECONDS = 1.0  # how fresh the gauges are, too


@contextmanager
def gauged(registers: Iterable[RegisterName]) -> Iterator[None]:
    """Not ready from the first moment on; a run that has ended leaves no gauge behind."""
    names = list(registers)
    for name in names:
        metrics.ready.labels(name).set(0)
    try:
        yield
    finally:
        for name in names:
            for gauge in (metrics.ready, metrics.lag, metrics.unstable, metrics.paused):
                gauge.remove(name)


async def look_after(registers: Sequence[Following], unready: Callable[[], Unready]) -> None:
    """Keep the registers' gauges true; say once who keeps one waiting, and once that it goes on."""
    told: set[RegisterName] = set()
    while True:
        waiting = unready()
        for following in registers:
            register, waiting_for = following.register.name, following.waiting_for
            metrics.ready.labels(register).set(not waiting.keys() & {register, "replica"})
            following.measure()
            if waiting_for and register not in told:
                told.add(register)
                log.warning("register_stalled", register=register, waiting_for=waiting_for)
            elif register in told and not waiting_for:
                told.remove(register)
                log.info("register_resumed", register=register)
        await asyncio.sleep(STALL_LOOK_SECONDS)
