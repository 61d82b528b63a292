"""A registry of Confluent's API for one of the replicas, so that it can be away while Kafka is there."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Self

from aiohttp import web

from bus.local.ports import LOOPBACK, free_ports
from bus.registry.base import Registered

SCHEMA_UNKNOWN = 40403
SUBJECT_UNKNOWN = 40401


class RegistryServer:
    """Serves what was released before it began, in a thread of its own."""

    def __init__(self, released: Sequence[Registered]) -> None:
        self._released = released
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="registry", daemon=True)
        [self.port] = free_ports(1)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        app = web.Application()
        app.router.add_get("/schemas/ids/{id}", self._schema)
        app.router.add_get("/subjects/{subject}/versions", self._versions)
        app.router.add_get("/subjects/{subject}/versions/{version}", self._version)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.port).start()

    async def _schema(self, request: web.Request) -> web.Response:
        found = [each for each in self._released if str(each.schema_id) == request.match_info["id"]]
        return _answer({"schema": found[0].text} if found else None, SCHEMA_UNKNOWN)

    async def _versions(self, request: web.Request) -> web.Response:
        found = [each.version for each in self._of(request)]
        return _answer(found or None, SUBJECT_UNKNOWN)

    async def _version(self, request: web.Request) -> web.Response:
        found = [each for each in self._of(request) if str(each.version) == request.match_info["version"]]
        told = [
            {"subject": each.avro_subject, "version": each.version, "id": each.schema_id, "schema": each.text}
            for each in found
        ]
        return _answer(told[0] if told else None, SUBJECT_UNKNOWN)

    def _of(self, request: web.Request) -> list[Registered]:
        return [each for each in self._released if each.avro_subject == request.match_info["subject"]]


def _answer(found: object, unknown: int) -> web.Response:
    if found is None:
        return web.json_response({"error_code": unknown, "message": "not found"}, status=404)
    return web.json_response(found)
