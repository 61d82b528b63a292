"""The relay as a process: health and metrics beside it, signals, one deadline for stopping."""

import asyncio
import signal
import threading
from typing import Any

import structlog

from bus.errors import BrokerUnavailable
from bus.health import Unready, serving
from producers.outbox.relay.relay import Relay
from producers.outbox.relay.settings import RelaySettings

log = structlog.get_logger(__name__)


async def serve(settings: RelaySettings, host: str, port: int, *, until_empty: bool = False) -> None:
    """Relay until SIGTERM or SIGINT, or with ``until_empty`` until no row waits. Raises what Relay raises."""
    relay = Relay(settings)

    def unready() -> Unready:
        return {settings.register_name: relay.unready} if relay.unready else {}

    told = {"agency": settings.agency, "register": settings.register_name}
    async with serving(host, port, unready) as bound:
        log.info("outbox_relay_started", **told, metrics_port=bound)
        await _run(relay, settings.drain_seconds, until_empty=until_empty)
    log.info("outbox_relay_stopped", **told)


async def _run(relay: Relay, drain_seconds: float, *, until_empty: bool) -> None:
    """The relay's thread must not keep the process once the deadline has passed, so it is a daemon."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    asked = asyncio.Event()

    def work() -> None:
        try:
            relay.run(until_empty=until_empty)
        except BaseException as error:  # noqa: BLE001 - raised again where the process waits
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, None)

    def stop() -> None:
        relay.stop()
        asked.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    threading.Thread(target=work, name="outbox relay", daemon=True).start()
    waiting = asyncio.create_task(asked.wait(), name="outbox stop")
    racing: list[asyncio.Future[Any]] = [done, waiting]
    await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        await asyncio.wait_for(done, None if done.done() else drain_seconds)
    except TimeoutError as error:
        raise BrokerUnavailable(
            f"not drained within {drain_seconds:g} s; the next relay finds out what Kafka has"
        ) from error
