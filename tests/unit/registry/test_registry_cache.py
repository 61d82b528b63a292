import asyncio
import json
import stat
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from bus.errors import RegistryUnavailable, SchemaUnknown
from bus.registry import MemoryRegistry
from bus.registry.cache import UNKNOWN_SECONDS, CachedRegistry
from bus.registry.shelf import Shelf
from tests.schemas import schema_text, with_field

TEXT = schema_text()
SUBJECT = "city.code.ward-value"


class Source(MemoryRegistry):
    """A registry that counts what it is asked, and can be away or be another one."""

    def __init__(self, name: str = "one") -> None:
        super().__init__()
        self.name: str | None = name
        self.away = False
        self.asked: list[int] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def _answer(self):
        if self.away:
            raise RegistryUnavailable("away")

    async def identity(self):
        self._answer()
        return self.name

    async def schema(self, schema_id):
        self.asked.append(schema_id)
        self.started.set()
        await self.gate.wait()
        self._answer()
        return await super().schema(schema_id)

    async def versions(self, avro_subject):
        self._answer()
        return await super().versions(avro_subject)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cached(source, folder, clock=None) -> CachedRegistry:
    return CachedRegistry(source, Shelf(folder), "registry:1", clock=clock or Clock())


async def test_id_is_asked_for_once(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    registry = cached(source, tmp_path)
    assert await registry.schema(1) == await registry.schema(1) == json.loads(TEXT)
    assert source.asked == [1]


async def test_concurrent_askers_share_one_fetch(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    source.gate.clear()
    registry = cached(source, tmp_path)
    async with asyncio.TaskGroup() as group:
        askers = [group.create_task(registry.schema(1)) for _ in range(5)]
        await asyncio.sleep(0)
        source.gate.set()
    assert {json.dumps(asker.result()) for asker in askers} == {json.dumps(json.loads(TEXT))}
    assert source.asked == [1]


async def test_second_asker_takes_over_when_the_first_is_cancelled(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    source.gate.clear()
    registry = cached(source, tmp_path)
    first, second = asyncio.create_task(registry.schema(1)), asyncio.create_task(registry.schema(1))
    await source.started.wait()
    first.cancel()
    source.gate.set()
    assert await second == json.loads(TEXT)
    assert first.cancelled() or first.cancelling()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_known_ids_are_known_while_the_source_is_away(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    registry = cached(source, tmp_path)
    await registry.schema(1)
    source.away = True
    assert await registry.schema(1) == json.loads(TEXT)
    with pytest.raises(RegistryUnavailable):
        await registry.schema(2)


async def test_process_that_starts_while_the_source_is_away_knows_what_the_last_one_saw(source, tmp_path):
    release = await source.publish(SUBJECT, TEXT)
    assert await cached(source, tmp_path).versions(SUBJECT) == (release,)
    source.away = True
    later = cached(source, tmp_path)
    assert await later.versions(SUBJECT) == (release,)
    assert await later.schema(release.schema_id) == json.loads(TEXT)
    with pytest.raises(RegistryUnavailable):
        await later.versions("city.code.country-value")


async def test_second_process_reads_the_disk_and_asks_nobody(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    await cached(source, tmp_path).schema(1)
    assert await cached(source, tmp_path).schema(1) == json.loads(TEXT)
    assert source.asked == [1]


async def test_new_version_is_seen_although_the_old_ones_are_kept(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    registry = cached(source, tmp_path)
    await registry.versions(SUBJECT)
    await source.publish(SUBJECT, with_field(TEXT, "note"))
    assert len(await registry.versions(SUBJECT)) == 2


async def test_unknown_id_is_asked_for_again_only_after_a_while(source, tmp_path, clock):
    registry = cached(source, tmp_path, clock)
    for _ in range(3):
        with pytest.raises(SchemaUnknown):
            await registry.schema(1)
    assert source.asked == [1]
    await source.publish(SUBJECT, TEXT)
    clock.now += UNKNOWN_SECONDS
    assert await registry.schema(1) == json.loads(TEXT)


async def test_ids_of_two_registries_never_mix(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    await cached(source, tmp_path).schema(1)
    other = Source("two")
    await other.publish(SUBJECT, with_field(TEXT, "note"))
    assert await cached(other, tmp_path).schema(1) == json.loads(with_field(TEXT, "note"))
    assert await cached(source, tmp_path).schema(1) == json.loads(TEXT)


async def test_what_was_assumed_while_away_is_dropped_when_another_registry_answers(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    await cached(source, tmp_path).versions(SUBJECT)
    other = Source("two")
    other.away = True
    registry = cached(other, tmp_path)
    assert await registry.schema(1) == json.loads(TEXT)
    other.away = False
    await other.publish(SUBJECT, with_field(TEXT, "note"))
    with pytest.raises(SchemaUnknown):
        await registry.schema(99)
    assert await registry.schema(1) == json.loads(with_field(TEXT, "note"))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"{}", b'{"schema_id":2,"text":"{}"}', b'{"schema_id":1,"text":"{}"}']
)
async def test_corrupt_file_is_as_good_as_none(source, tmp_path, content):
    await source.publish(SUBJECT, TEXT)
    await cached(source, tmp_path).versions(SUBJECT)
    for path in _files(tmp_path):
        path.write_bytes(content)
    assert await cached(source, tmp_path).schema(1) == json.loads(TEXT)
    assert source.asked == [1]
    assert await cached(source, tmp_path).schema(1) == json.loads(TEXT)
    assert source.asked == [1]


async def test_files_are_for_their_owner_only_and_nothing_half_written_stays(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    await cached(source, tmp_path / "cache").versions(SUBJECT)
    paths = list(_files(tmp_path))
    assert len(paths) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert not [path for path in paths if path.name.startswith(".new")]


async def test_folder_that_cannot_be_written_is_told_once_and_stops_nobody(source, tmp_path):
    await source.publish(SUBJECT, TEXT)
    (tmp_path / "file").write_text("")
    structlog.reset_defaults()  # a command's level, from another test, would hide the warning
    with capture_logs() as logs:
        registry = cached(source, tmp_path / "file" / "cache")
        assert await registry.schema(1) == json.loads(TEXT)
        assert await registry.versions(SUBJECT)
    assert [entry["event"] for entry in logs] == ["schema_cache_not_written"]


async def test_registry_without_an_identity_yet_is_not_kept(source, tmp_path):
    source.name = None
    await source.publish(SUBJECT, TEXT)
    assert await cached(source, tmp_path).schema(1) == json.loads(TEXT)
    assert not list(_files(tmp_path))


def _files(folder) -> Iterator:
    return (path for path in folder.rglob("*") if path.is_file())
