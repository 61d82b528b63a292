"""What the HTTP registry makes of servers that answer with anything: one of our errors, soon, within bounds."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from bus.errors import RegistryUnavailable
from bus.registry import http
from bus.registry.http import HttpRegistry
from bus.settings import RegistrySettings

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"
MB = 1 << 20


def bytes_of(data: bytes) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return say


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"\r\n")
    while not writer.is_closing():
        writer.write(b"[" * MB)
        await writer.drain()


async def silent(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 1000000000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def asked(say: Say) -> AsyncIterator[HttpRegistry]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await say(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with HttpRegistry(RegistrySettings(url=f"http://127.0.0.1:{port}")) as registry:
        yield registry
    server.close()


STRANGERS: dict[str, Say] = {
    "no HTTP at all": bytes_of(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "a status that is none": bytes_of(b"HTTP/1.1 99999 x\r\n\r\n"),
    "a header without an end": bytes_of(OK + b"X: " + b"x" * (4 * MB)),
    "headers without number": bytes_of(OK + b"X: y\r\n" * 100_000 + b"\r\n"),
    "a length that is none": bytes_of(OK + b"Content-Length: -7\r\n\r\n[]"),
    "a chunk that is none": bytes_of(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n"),
    "a redirect to itself": bytes_of(b"HTTP/1.1 302 Found\r\nLocation: /subjects\r\nConnection: close\r\n\r\n"),
    "JSON that nests without end": bytes_of(OK + b"Connection: close\r\n\r\n" + b"[" * 100_000),
    "silence": silent,
    "a byte now and then": dripping,
    "a body without an end": endless,
}


@pytest.mark.parametrize("say", STRANGERS.values(), ids=STRANGERS)
async def test_a_stranger_is_one_clear_line_and_soon(say, monkeypatch):
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(http, "MOST_BYTES", 4 * MB)
    async with asyncio.timeout(5), asked(say) as registry:
        with pytest.raises(RegistryUnavailable, match=r"registry http://127\.0\.0\.1"):
            await registry.subjects()


async def test_a_packed_answer_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    bomb = gzip.compress(b"[" + b" " * (24 * MB) + b"]", compresslevel=1)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with asked(bytes_of(head + bomb)) as registry:
        tracemalloc.start()
        with pytest.raises(RegistryUnavailable):
            await registry.subjects()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MB


@pytest.mark.parametrize(
    "body", [{"a": 1}, [[1]], ["a", 7], 7, "a"], ids=["a record", "lists", "a number among", "a number", "a text"]
)
async def test_an_answer_of_another_shape_is_no_registrys(body):
    data = json.dumps(body).encode()
    async with asked(bytes_of(OK + b"Content-Length: %d\r\n\r\n" % len(data) + data)) as registry:
        with pytest.raises(RegistryUnavailable, match="not an answer of Confluent's API"):
            await registry.subjects()
