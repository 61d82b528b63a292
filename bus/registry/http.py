"""Any server with Confluent's Schema Registry API: Confluent's own, Karapace, Apicurio under /apis/ccompat/v7."""

import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import stamina
from yarl import URL

from bus.errors import ConfigInvalid, RegistryUnavailable, SchemaIncompatible, SchemaUnknown
from bus.names import SchemaId
from bus.registry.base import Registered, Schema
from bus.registry.records import MAX_ID, record_schema
from bus.registry.releasing import settled
from bus.settings import RegistrySettings

TIMEOUT_SECONDS = 5.0
"""For one answer; a registry answers from memory."""
ATTEMPTS = 3
MOST_BYTES = 16 << 20
"""Of one answer; the largest schema of ours has 20 KB, and a registry's list of subjects some."""
CHUNK_BYTES = 1 << 16
MOST_VERSIONS = 10_000
"""Of one subject: each is asked for by itself."""
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"

# Error codes of Confluent's API; a 404 without one comes from something that is no registry.
SUBJECT_UNKNOWN = 40401
VERSION_UNKNOWN = 40402
SCHEMA_UNKNOWN = 40403


T = TypeVar("T", int, str)


class _Away(Exception):
    """Worth another attempt: no connection, no answer in time, or a server that says it cannot now."""


class HttpRegistry:
    """Asks over HTTP, three times before it gives up; then every method raises RegistryUnavailable.

    A user name and password, where given, are sent as basic authentication.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        if not settings.url:
            raise ConfigInvalid("registry.url: needed to ask a registry over HTTP")
        given = URL(settings.url)
        self._url = given.with_user(None) if given.host else given
        self._password = settings.password.get_secret_value() if settings.password else given.password
        self._username = settings.username or given.user
        self._held = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Accept": MEDIA_TYPE, "Accept-Encoding": "identity"}  # packed, its size would have no bound
        if self._username:
            headers["Authorization"] = basic_auth(self._username, self._password or "")
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        session = aiohttp.ClientSession(timeout=timeout, headers=headers, auto_decompress=False)
        self._session = await self._held.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()
        self._session = None

    @property
    def address(self) -> str:
        """The URL without user and password."""
        return str(self._url).rstrip("/")

    async def identity(self) -> str:
        return self.address

    async def schema(self, schema_id: SchemaId) -> Schema:
        answer = await self._get(f"/schemas/ids/{schema_id}", SCHEMA_UNKNOWN)
        found = record_schema(_text(answer)) if answer is not None and _is_avro(answer) else None
        if found is None:
            raise SchemaUnknown(f"schema id {schema_id}: {self.address} has no Avro record of that id")
        return found

    async def versions(self, avro_subject: str) -> tuple[Registered, ...]:
        numbers = await self._list(f"/subjects/{_quoted(avro_subject)}/versions", int)
        if len(numbers) > MOST_VERSIONS:
            raise self._stranger(f"{len(numbers)} versions of one subject")
        found = [await self._version(avro_subject, number) for number in sorted(numbers)]
        return tuple(release for release in found if release is not None)

    async def subjects(self) -> tuple[str, ...]:
        return tuple(sorted(await self._list("/subjects", str)))

    async def publish(self, avro_subject: str, text: str) -> Registered:
        """Release after our own check; the server may hold rules of its own besides, and then refuses."""
        there = settled(avro_subject, text, await self.versions(avro_subject))
        if there is not None:
            return there
        await self._ask("POST", f"/subjects/{_quoted(avro_subject)}/versions", {"schema": text, "schemaType": "AVRO"})
        release = settled(avro_subject, text, await self.versions(avro_subject))
        if release is None:
            raise RegistryUnavailable(f"{avro_subject}: {self.address} took the schema and does not show it; try again")
        return release

    async def _version(self, avro_subject: str, number: int) -> Registered | None:
        answer = await self._get(
            f"/subjects/{_quoted(avro_subject)}/versions/{number}", SUBJECT_UNKNOWN, VERSION_UNKNOWN
        )
        if answer is None or not _is_avro(answer) or record_schema(_text(answer)) is None:
            return None
        version, schema_id = answer.get("version"), answer.get("id")
        if not (_is_number(version) and _is_number(schema_id)):
            raise self._stranger("a release without version or id")
        return Registered(avro_subject, version, SchemaId(schema_id), _text(answer))

    async def _list(self, path: str, kind: type[T]) -> list[T]:
        """Empty where the registry knows no such subject."""
        found = await self._get(path, SUBJECT_UNKNOWN)
        if found is None:
            return []
        if not isinstance(found, list) or any(type(each) is not kind for each in found):
            raise self._stranger(f"no list of {kind.__name__}")
        return found

    async def _get(self, path: str, *unknown: int) -> Any:
        """The answer; None where the registry itself says with one of these codes that there is no such thing."""
        return await self._ask("GET", path, None, unknown)

    async def _ask(
        self, method: str, path: str, body: Mapping[str, str] | None = None, unknown: tuple[int, ...] = ()
    ) -> Any:
        try:
            async for attempt in stamina.retry_context(on=_Away, attempts=ATTEMPTS, wait_initial=0.1, wait_max=1.0):
                with attempt:
                    status, answer = await self._answer(method, path, body)
        except _Away as error:
            raise RegistryUnavailable(
                f"registry {self.address}: {error}; check that it runs and the URL is right"
            ) from error
        return self._judged(status, answer, unknown)

    async def _answer(self, method: str, path: str, body: Mapping[str, str] | None) -> tuple[int, Any]:
        if self._session is None:
            raise RegistryUnavailable("the registry was closed; use it inside its `async with`")
        url = URL(self.address + path, encoded=True)
        sent = json.dumps(body).encode() if body else None
        try:
            async with self._session.request(method, url, data=sent, headers={"Content-Type": MEDIA_TYPE}) as response:
                content = await _content(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Away(str(error) or "no answer in time") from error
        if response.status >= 500 or response.status == 429:
            raise _Away(f"it answers with HTTP {response.status}")
        return response.status, _json(content)

    def _judged(self, status: int, answer: Any, unknown: tuple[int, ...]) -> Any:
        if status == 200 and answer is not None:
            return answer
        code = answer.get("error_code") if isinstance(answer, dict) else None
        if code in unknown:
            return None
        if status in {401, 403}:
            raise ConfigInvalid(
                f"registry {self.address}: HTTP {status}; check registry.username and registry.password"
            )
        if status in {409, 422}:
            raise SchemaIncompatible(f"registry {self.address} refuses the schema: {_said(answer)}")
        raise self._stranger(f"HTTP {status}")

    def _stranger(self, told: str) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"registry {self.address}: {told}, not an answer of Confluent's API; check the URL's path "
            "(Apicurio's is /apis/ccompat/v7)",
        )


def basic_auth(username: str, password: str) -> str:
    """The Authorization header of RFC 7617, in UTF-8."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Of an answer that is too long, none: it is none of a registry's."""
    found = bytearray()
    async for part in response.content.iter_chunked(CHUNK_BYTES):
        found += part
        if len(found) > MOST_BYTES:
            return b""
    return bytes(found)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_ID


def _said(answer: Any) -> str:
    return " ".join(str(answer.get("message")).split())[:300] if isinstance(answer, dict) else "without a reason"


def _is_avro(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("schemaType", "AVRO") == "AVRO" and not answer.get("references")


def _text(answer: Mapping[str, Any]) -> str:
    return str(answer.get("schema"))


def _quoted(avro_subject: str) -> str:
    return quote(avro_subject, safe="")
