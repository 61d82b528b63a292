"""What the HTTP registry makes of a server's bad days; the good ones are in the contract suite, with a real server."""

import json
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bus.errors import ConfigInvalid, RegistryUnavailable, SchemaIncompatible, SchemaUnknown
from bus.registry.http import ATTEMPTS, HttpRegistry, basic_auth
from bus.settings import RegistrySettings
from tests.schemas import schema_text

TEXT = schema_text()


class Server:
    """Answers every request with the same words and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.answers: list[Callable[[], web.Response]] = [lambda: web.json_response([])]

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]()

    def says(self, body: object, status: int = 200) -> None:
        self.answers = [lambda: web.json_response(body, status=status)]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def url(server) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running:
        yield str(running.make_url("/apis/ccompat/v7/"))


@pytest.fixture
async def registry(url) -> AsyncIterator[HttpRegistry]:
    async with HttpRegistry(RegistrySettings(url=url)) as opened:
        yield opened


async def test_unknown_schema_is_unknown_and_not_unavailable(registry, server):
    server.says({"error_code": 40403, "message": "Schema not found"}, 404)
    with pytest.raises(SchemaUnknown):
        await registry.schema(7)


async def test_404_of_something_that_is_no_registry_never_means_unknown(registry, server):
    server.says({"detail": "Not Found"}, 404)
    with pytest.raises(RegistryUnavailable, match="/apis/ccompat/v7"):
        await registry.schema(7)


async def test_page_that_is_no_json_never_means_unknown(registry, server):
    server.answers = [lambda: web.Response(text="<html>Welcome</html>")]
    with pytest.raises(RegistryUnavailable, match="Confluent"):
        await registry.versions("a")


async def test_server_that_recovers_is_asked_again(registry, server):
    server.answers = [lambda: web.Response(status=503), lambda: web.json_response({"schema": TEXT})]
    assert await registry.schema(7) == json.loads(TEXT)
    assert len(server.requests) == 2


async def test_server_that_stays_broken_is_given_up(registry, server):
    server.answers = [lambda: web.Response(status=500)]
    with pytest.raises(RegistryUnavailable, match="HTTP 500"):
        await registry.subjects()
    assert len(server.requests) == ATTEMPTS


async def test_no_server_is_one_clear_line():
    async with HttpRegistry(RegistrySettings(url="http://127.0.0.1:1/apis")) as registry:
        with pytest.raises(RegistryUnavailable, match=r"registry http://127\.0\.0\.1:1/apis: .*check that it runs"):
            await registry.subjects()


@pytest.mark.parametrize(
    "schema", [{"schema": "{}", "schemaType": "JSON"}, {"schema": '"string"'}, {"schema": TEXT, "references": [{}]}]
)
async def test_id_of_what_no_event_uses_is_unknown(registry, server, schema):
    server.says(schema)
    with pytest.raises(SchemaUnknown):
        await registry.schema(7)


async def test_refusal_of_the_server_carries_its_reason(registry, server):
    server.answers = [
        lambda: web.json_response({"error_code": 40401}, status=404),
        lambda: web.json_response({"error_code": 409, "message": "breaks a rule\nof ours"}, status=409),
    ]
    with pytest.raises(SchemaIncompatible, match="breaks a rule of ours"):
        await registry.publish("a", TEXT)


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_name_the_setting_and_not_the_secret(url, server, status):
    server.says({"error_code": status}, status)
    settings = RegistrySettings(url=url, username="reader", password="tiger")
    async with HttpRegistry(settings) as registry:
        with pytest.raises(ConfigInvalid, match=r"registry\.username") as refused:
            await registry.subjects()
    assert "tiger" not in str(refused.value)
    assert server.requests[0].headers["Authorization"] == basic_auth("reader", "tiger")


async def test_password_in_the_url_is_sent_and_never_shown(url, server):
    server.says({}, 404)
    async with HttpRegistry(RegistrySettings(url=url.replace("//", "//reader:tiger@", 1))) as registry:
        with pytest.raises(RegistryUnavailable) as refused:
            await registry.subjects()
        assert "tiger" not in str(refused.value) + registry.address
    assert server.requests[0].headers["Authorization"] == basic_auth("reader", "tiger")


def test_credentials_are_encoded_as_the_standards_example():
    assert basic_auth("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


async def test_subject_is_quoted_whole(registry, server):
    await registry.versions("a/b c%")
    assert server.requests[0].raw_path == "/apis/ccompat/v7/subjects/a%2Fb%20c%25/versions"


async def test_closing_twice_or_unused_does_nothing(url):
    registry = HttpRegistry(RegistrySettings(url=url))
    await registry.__aexit__()
    async with registry:
        pass
    await registry.__aexit__()
    with pytest.raises(RegistryUnavailable, match="closed"):
        await registry.subjects()
