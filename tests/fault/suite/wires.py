"""Wires between our processes and the servers, which can be cut, slowed down or left half-open: a small TCP proxy."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, Self

from bus.local.ports import LOOPBACK

Mood = Literal["open", "slow", "deaf", "stuck", "shut"]
"""``deaf``: what clients say arrives, no answer comes back; ``stuck``: nothing passes; ``shut``: nobody gets in."""

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: the peer gets a reset, not an end


class Wire:
    """One port of ours that leads to one server's port. Its methods may be called from any thread."""

    def __init__(self, name: str, port: int, target: int, loop: asyncio.AbstractEventLoop) -> None:
        self.name, self.port = name, port
        self._target, self._loop = target, loop
        self._mood: Mood = "open"
        self._delay = 0.0
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def set(self, mood: Mood, delay_seconds: float = 0.0) -> None:
        """From now on, for connections that are there too. What was held back passes once the wire is open again."""
        self._call(self._set(mood, delay_seconds))

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return self._call(self._cut())

    @property
    def used(self) -> bool:
        """Whether there is a connection to be hurt."""
        return bool(self._writers)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def close(self) -> None:
        self._server.close()
        await self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _set(self, mood: Mood, delay_seconds: float) -> None:
        self._mood, self._delay = mood, delay_seconds
        self._changed.set()
        self._changed = asyncio.Event()

    async def _cut(self) -> int:
        count = len(self._writers) // 2
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        self._writers.clear()
        self._changed.set()
        self._changed = asyncio.Event()
        return count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._mood == "shut":
                raise OSError("shut")  # noqa: TRY301
            onward_reader, onward = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, onward}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, onward, ("stuck",)))
                group.create_task(self._pump(onward_reader, writer, ("stuck", "deaf")))
        except* OSError:
            pass
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: tuple[str, ...]) -> None:
        while data := await reader.read(65536):
            while self._mood in held and not writer.is_closing():
                await self._changed.wait()
            if self._delay:
                await asyncio.sleep(self._delay)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # one side has left: the other goes too


class Wires:
    """All wires, served by a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self.all: dict[str, Wire] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self.all.values():
            with suppress(TimeoutError):
                self._run(wire.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lay(self, name: str, port: int, target: int) -> Wire:
        wire = self.all[name] = Wire(name, port, target, self._loop)
        self._run(wire.open())
        return wire

    def heal(self) -> None:
        for wire in self.all.values():
            wire.set("open")

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
