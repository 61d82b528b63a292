"""Blocking work as a process: health and metrics beside it, signals, one deadline for stopping."""

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from bus.errors import BrokerUnavailable
from bus.health import Unready, serving

log = structlog.get_logger(__name__)


class Work(Protocol):
    """What an agency's adapter does until it is asked to stop."""

    @property
    def unready(self) -> str | None:
        """What it is waiting for; nothing when it is ready."""

    def stop(self) -> None:
        """Let ``run`` end soon; from any thread."""


async def serve(
    work: Work, run: Callable[[], None], *, name: str, told: dict[str, str], host: str, port: int, drain_seconds: float
) -> None:
    """Run it until it ends, or until SIGTERM or SIGINT and then for ``drain_seconds`` at most. Raises what it raises.

    ``told`` names register and agency in the log, where ``name`` begins the events' names.
    """

    def unready() -> Unready:
        return {told["register"]: work.unready} if work.unready else {}

    started, stopped = f"{name}_started", f"{name}_stopped"
    async with serving(host, port, unready) as bound:
        log.info(started, **told, metrics_port=bound)
        await _run(work, run, name, drain_seconds)
    log.info(stopped, **told)


async def _run(work: Work, run: Callable[[], None], name: str, drain_seconds: float) -> None:
    """The work's thread must not keep the process once the deadline has passed, so it is a daemon."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    asked = asyncio.Event()

    def in_thread() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - raised again where the process waits
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, None)

    def stop() -> None:
        work.stop()
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    threading.Thread(target=in_thread, name=name, daemon=True).start()
    waiting = asyncio.create_task(asked.wait(), name=f"{name} stop")
    racing: list[asyncio.Future[Any]] = [done, waiting]
    await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        await asyncio.wait_for(done, None if done.done() else drain_seconds)
    except TimeoutError as error:
        raise BrokerUnavailable(
            f"not drained within {drain_seconds:g} s; the next instance finds out what Kafka has"
        ) from error
