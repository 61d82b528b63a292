"""Any server with Confluent's Schema Registry API: Confluent's own, Karapace, Apicurio under /apis/ccompat/v7."""

import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import stamina
from yarl import URL

from bus.errors import ConfigInvalid, RegistryUnavailable, SchemaIncompatible, SchemaUnknown
from bus.names import SchemaId
from bus.registry.base import Registered, Schema
from bus.registry.records import record_schema
from bus.registry.releasing import settled
from bus.settings import RegistrySettings

TIMEOUT_SECONDS = 5.0
"""For one answer; a registry answers from memory."""
ATTEMPTS = 3
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"

# Error codes of Confluent's API; a 404 without one comes from something that is no registry.
SUBJECT_UNKNOWN = 40401
VERSION_UNKNOWN = 40402
SCHEMA_UNKNOWN = 40403


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
        headers = {"Accept": MEDIA_TYPE}
        if self._username:
            headers["Authorization"] = basic_auth(self._username, self._password or "")
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS), headers=headers)
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
        numbers = await self._get(f"/subjects/{_quoted(avro_subject)}/versions", SUBJECT_UNKNOWN)
        found = [await self._version(avro_subject, number) for number in sorted(numbers or ())]
        return tuple(release for release in found if release is not None)

    async def subjects(self) -> tuple[str, ...]:
        return tuple(sorted(await self._get("/subjects", SUBJECT_UNKNOWN) or ()))

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
        return Registered(avro_subject, int(answer["version"]), SchemaId(answer["id"]), _text(answer))

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
                content = await response.read()
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
        raise RegistryUnavailable(
            f"registry {self.address}: HTTP {status}, not an answer of Confluent's API; check the URL's path "
            "(Apicurio's is /apis/ccompat/v7)",
        )


def basic_auth(username: str, password: str) -> str:
    """The Authorization header of RFC 7617, in UTF-8."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _said(answer: Any) -> str:
    return " ".join(str(answer.get("message")).split())[:300] if isinstance(answer, dict) else "without a reason"


def _is_avro(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("schemaType", "AVRO") == "AVRO" and not answer.get("references")


def _text(answer: Mapping[str, Any]) -> str:
    return str(answer.get("schema"))


def _quoted(avro_subject: str) -> str:
    return quote(avro_subject, safe="")
