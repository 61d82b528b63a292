"""The follower as a process: health and metrics beside it, signals, one deadline for stopping."""

import asyncio
import signal
import threading
from typing import Any

import structlog

from bus.errors import BrokerUnavailable
from bus.health import Unready, serving
from producers.capture.follow.follower import Follower
from producers.capture.follow.settings import FollowSettings

log = structlog.get_logger(__name__)


async def serve(settings: FollowSettings, host: str, port: int, *, until_current: bool = False) -> None:
    """Follow until SIGTERM or SIGINT, or with ``until_current`` until that is sent. Raises what Follower raises."""
    follower = Follower(settings)

    def unready() -> Unready:
        return {settings.register_name: follower.unready} if follower.unready else {}

    told = {"agency": settings.agency, "register": settings.register_name}
    async with serving(host, port, unready) as bound:
        log.info("capture_started", **told, metrics_port=bound)
        await _run(follower, settings.drain_seconds, until_current=until_current)
    log.info("capture_stopped", **told)


async def _run(follower: Follower, drain_seconds: float, *, until_current: bool) -> None:
    """The follower's thread must not keep the process once the deadline has passed, so it is a daemon."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    asked = asyncio.Event()

    def work() -> None:
        try:
            follower.run(until_current=until_current)
        except BaseException as error:  # noqa: BLE001 - raised again where the process waits
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, None)

    def stop() -> None:
        follower.stop()
        asked.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    threading.Thread(target=work, name="capture", daemon=True).start()
    waiting = asyncio.create_task(asked.wait(), name="capture stop")
    racing: list[asyncio.Future[Any]] = [done, waiting]
    await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        await asyncio.wait_for(done, None if done.done() else drain_seconds)
    except TimeoutError as error:
        raise BrokerUnavailable(
            f"not drained within {drain_seconds:g} s; the next follower finds out what Kafka has"
        ) from error
