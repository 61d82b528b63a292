"""``/metrics``, ``/livez`` and ``/readyz`` of a daemon."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bus.errors import PortTaken

Unready = Mapping[str, str]
"""What is not ready, and why: ``{"resident.identity": "bootstrap: 1,200 of 14,000,000"}``. Empty means ready."""


@asynccontextmanager
async def serving(host: str, port: int, unready: Callable[[], Unready]) -> AsyncIterator[int]:
    """Serve until the block ends; gives the port (a free one where ``port`` is 0). Raises PortTaken.

    Alive means that the event loop answers at all; ready is for the caller to say.
    """

    async def answer_ready(_request: web.Request) -> web.Response:
        return _ready(unready())

    app = web.Application()
    app.add_routes([web.get("/livez", _alive), web.get("/readyz", answer_ready), web.get("/metrics", _metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise PortTaken(f"{host}:{port} is taken; choose another [metrics] port, or 0 for a free one") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


def _ready(unready: Unready) -> web.Response:
    if unready:
        return web.json_response({"status": "not ready", "waiting_for": dict(unready)}, status=503)
    return web.json_response({"status": "ready"})


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
