"""What others answer or have kept: a schema registry over HTTP, copies on disk, rows of a replica's database."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock
from zlib import crc32

from bus import unreadable
from bus.codes import copy
from bus.codes.book import codebook
from bus.envelope import version_of
from bus.headers import tombstone_headers
from bus.names import RegisterName, SchemaId, TopicName
from bus.registry.http import HttpRegistry
from bus.registry.shelf import Shelf
from bus.schema.codes import load_codes
from bus.settings import RegistrySettings
from consumers.parked.replaying import plan
from consumers.stores.parking import parked_of
from tests.consuming import NOW
from tests.events import deleted
from tests.fuzz.mutating import BINARY, JSON, Mutator
from tests.fuzz.target import Target
from tests.fuzz.targets.avro import hostile, reading, schema_cases, schema_samples, values
from tests.producing import IDENTITY, person

SEPARATOR = b"\x1e"
SUBJECT = "city.resident.identity-value"


@dataclass(frozen=True)
class Answer:
    """What aiohttp gives of an answer: status, and a body in parts."""

    status: int
    body: bytes

    @property
    def content(self) -> "Answer":
        return self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), size):
            yield self.body[at : at + size]


class Server:
    """Says what it is told to, one answer after the other, then the last one again."""

    def __init__(self, data: bytes) -> None:
        self._answers = [answer(part) for part in data.split(SEPARATOR)]
        self._asked = 0

    @asynccontextmanager
    async def request(self, *_: object, **__: object) -> AsyncIterator[Answer]:
        self._asked += 1
        yield self._answers[min(self._asked, len(self._answers)) - 1]


def answer(data: bytes) -> Answer:
    """Three figures of a status, a space, a body."""
    return Answer(int(data[:3]) if data[:3].isdigit() and data[:3].isascii() else 200, data[4:])


@cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


async def asked(data: bytes) -> bool:
    """One of the questions that there are, which hangs on the input alone."""
    registry = HttpRegistry(RegistrySettings(url="http://127.0.0.1:1/"))
    registry._session = Server(data)  # type: ignore[assignment]
    questions: list[Callable[[], Awaitable[object]]] = [
        lambda: registry.schema(SchemaId(7)),
        lambda: registry.versions(SUBJECT),
        registry.subjects,
        lambda: registry.publish(SUBJECT, schema_samples()[0].decode()),
    ]
    await questions[crc32(data) % len(questions)]()
    return True


def read_answers(data: bytes) -> bool:
    with mock.patch("bus.registry.http.ATTEMPTS", 1):
        return loop().run_until_complete(asked(data))


@cache
def http() -> Target:
    text = schema_samples()[0].decode()
    schema = b"200 " + json.dumps({"schema": text}).encode()
    release = b"200 " + json.dumps({"subject": SUBJECT, "version": 1, "id": 7, "schema": text}).encode()
    unknown = b'404 {"error_code": 40401, "message": "none"}'
    samples = [schema, SEPARATOR.join([b"200 [1]", release]), b'200 ["a", "b"]', unknown, b"503 no"]
    samples.append(SEPARATOR.join([unknown, b'200 {"id": 7}', b"200 [1]", release]))
    bodies = [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b"\xff", b"", b"null", b"[[1]]", b'[1, "a", null]']
    bodies += [
        b"[" + b"1," * 2_000_000 + b"1]",
        b"1e999",
        b'"x"',
        b'{"schema": 1}',
        b'{"error_code": []}',
        b"[-1, 1e9]",
    ]
    bodies += [b"x" * (17 << 20), *(json.dumps({"schema": each.decode()}).encode() for each in schema_cases()[:6])]
    statuses = (b"200 ", b"404 ", b"409 ", b"422 ", b"401 ", b"301 ", b"999 ", b"000 ")
    cases = [status + body for status in statuses[:2] for body in bodies]
    cases += [status + body for status in statuses for body in bodies[2:6]]
    odd = [{"version": each, "id": each, "schema": text} for each in ([], 2**70, -1, "1", None, 1.5, True)]
    cases += [SEPARATOR.join([b"200 [1]", b"200 " + json.dumps(each).encode()]) for each in odd]
    return Target(read_answers, samples, cases=cases, mutators=[in_body, in_body, in_body, *BINARY[:4]], short=500)


def in_body(random: Random, data: bytes) -> bytes:
    """One answer's body, as JSON."""
    parts = data.split(SEPARATOR)
    at = random.randrange(len(parts))
    parts[at] = parts[at][:4] + random.choice(JSON)(random, parts[at][4:])
    return SEPARATOR.join(parts)


class Folder:
    """In which every file is the same bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __truediv__(self, _other: object) -> "Folder":
        return self

    def __str__(self) -> str:
        return "copy.json"

    def read_text(self, encoding: str) -> str:
        return self._data.decode(encoding)

    def read_bytes(self) -> bytes:
        return self._data


TOPIC, WARDS = TopicName("city.code.ward"), RegisterName("code.ward")


def code_copies() -> Target:
    """The code lists as they were last read from their topics, and the lists made of them."""
    with TemporaryDirectory() as directory:
        state = {"unit_id": "26734-2025", "code": "26734", "valid_from": "2025-07-01", "name": "Mẫu", "kind": "ward"}
        copy.keep(Path(directory), copy.Copy(WARDS, TOPIC, "id", 7, NOW, (state, {**state, "code": "26737"})))
        [kept] = Path(directory).iterdir()
        sample = kept.read_bytes()
    base = load_codes()

    def read(data: bytes) -> bool:
        found = copy.load(Folder(data), {TOPIC: WARDS})  # type: ignore[arg-type]
        return bool(codebook(base, {name: each.states for name, each in found.items()}, NOW.date()).lists)

    cases = [b"[" * 100_000, b"", b"null", b"[]", b'{"states":1,"read_at":"x"}', b'{"read_at":[],"states":[]}']
    return Target(read, [sample], cases=cases, mutators=JSON)


def cached_schemas() -> Target:
    """Pages of what a registry has said, on disk."""
    text = schema_samples()[0].decode()
    versions = [{"version": 1, "schema_id": 7, "text": text}]
    pages = [
        {"schema_id": 7, "text": text},
        {"avro_subject": SUBJECT, "versions": versions},
        {"address": "http://registry", "identity": "id"},
    ]

    def read(data: bytes) -> bool:
        shelf = Shelf(Folder(data))  # type: ignore[arg-type]
        kept = shelf.schema("id", SchemaId(7)), shelf.versions("id", SUBJECT), shelf.identity("http://registry")
        return any(each is not None for each in kept)

    cases = [b"[" * 100_000, b'{"schema_id":7,"text":"' + b"[" * 50_000 + b'"}', b"9" * 5_000, b"", b"\xff"]
    return Target(read, [json.dumps(page).encode() for page in pages], cases=cases, mutators=JSON, short=500)


def record(data: bytes, place: int = 0) -> Any:
    """A parked event as its row in the database: value, headers, key."""
    value, headers, key = apart(data)
    topic = next(iter(reading().sources))
    at = (reading().sources[topic].topic_id, 0, place, IDENTITY, topic, "body_invalid", "why")
    kept = headers.decode() if headers in (TOMBSTONE, STANDS) else "[]"
    return parked_of((*at, key or None, value or None, kept, 1), NOW, 0, None)


def apart(data: bytes) -> list[bytes]:
    """Value, headers, key."""
    return [b"", b"", *data.rsplit(SEPARATOR, 2)][-3:]


def as_kept(headers: Iterable[tuple[str, bytes]]) -> bytes:
    return json.dumps([[name, b64encode(value).decode()] for name, value in headers]).encode()


TOMBSTONE = as_kept(tombstone_headers(deleted(1)))
STANDS = as_kept([(unreadable.WHY, b"too large")])


def parked() -> Target:
    """Events that are decoded again by a replay. Their headers the store has written, whatever they say."""
    key = person(1)["personal_id"].encode()
    samples = [SEPARATOR.join([value, b"[]", key]) for value in values(IDENTITY)]
    samples += [SEPARATOR.join([b"", TOMBSTONE, key]), SEPARATOR.join([bytes(70), STANDS, b""])]

    def read(data: bytes) -> bool:
        return replayed([data]) == 1

    return Target(
        read,
        samples,
        cases=[SEPARATOR.join([value, b"[]", key]) for value in hostile(IDENTITY)],
        mutators=[in_value],
        read_many=replayed,
    )


def in_value(random: Random, data: bytes) -> bytes:
    """The bytes or the key, for the headers are written by the store."""
    value, headers, key = apart(data)
    mutator: Mutator = random.choice(BINARY)
    if random.random() < 0.8:
        return SEPARATOR.join([mutator(random, value), headers, key])
    return SEPARATOR.join([value, headers, mutator(random, key).replace(SEPARATOR, b"")])


def replayed(inputs: Sequence[bytes]) -> int:
    events = [record(data, place) for place, data in enumerate(inputs)]
    wanted = plan(reading(), events)
    assert len(wanted.settled) + len(wanted.standing) == len(events)
    return len(wanted.settled)


def envelopes() -> Target:
    """The version of a record that is copied to a topic with more partitions."""
    return Target(
        lambda data: version_of(data, ()) is not None, values(IDENTITY), cases=[b"", b"\x00" * 5, *hostile(IDENTITY)]
    )
