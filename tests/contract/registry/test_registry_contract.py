"""What every registry promises, whether its schemas lie in memory, in a topic, or behind a stranger's HTTP API."""

import json
import secrets
from collections.abc import AsyncIterator

import pytest

from bus.errors import SchemaIncompatible, SchemaUnknown
from bus.names import SchemaId
from bus.registry import MemoryRegistry, SchemaRegistry, open_registry
from bus.settings import KafkaSettings, RegistrySettings
from tests.schemas import schema_text, with_field, without_default

TEXT = schema_text()


@pytest.fixture(params=["memory", "embedded", pytest.param("http", marks=pytest.mark.full)])
async def registry(request, tmp_path) -> AsyncIterator[SchemaRegistry]:
    if request.param == "memory":
        yield MemoryRegistry()
        return
    if request.param == "http":
        kafka, settings = "127.0.0.1:1", {"url": request.getfixturevalue("apicurio_url")}
    else:
        kafka, settings = request.getfixturevalue("kafka"), {"topic": f"t{secrets.token_hex(4)}_schemas"}
    where = RegistrySettings(cache_dir=tmp_path, **settings)
    async with open_registry(where, KafkaSettings(bootstrap_servers=kafka)) as opened:
        yield opened


@pytest.fixture
def subject() -> str:
    return f"{secrets.token_hex(4)}.code.ward-value"


async def test_published_schema_is_found_by_its_id_and_subject(registry, subject):
    release = await registry.publish(subject, TEXT)
    assert release.version == 1
    assert await registry.schema(release.schema_id) == json.loads(TEXT)
    assert await registry.versions(subject) == (release,)
    assert json.loads(release.text) == json.loads(TEXT)
    assert subject in await registry.subjects()


async def test_publishing_again_gives_what_is_there(registry, subject):
    release = await registry.publish(subject, TEXT)
    assert await registry.publish(subject, TEXT) == release
    assert await registry.publish(subject, json.dumps(json.loads(TEXT), indent=2)) == release
    assert len(await registry.versions(subject)) == 1


async def test_versions_ascend_and_have_ids_of_their_own(registry, subject):
    second = with_field(TEXT, "note")
    third = with_field(second, "remark")
    releases = [await registry.publish(subject, text) for text in (TEXT, second, third)]
    assert [release.version for release in releases] == [1, 2, 3]
    assert len({release.schema_id for release in releases}) == 3
    assert await registry.versions(subject) == tuple(releases)
    assert await registry.publish(subject, TEXT) == releases[0]


async def test_same_text_under_another_subject_shares_its_id(registry, subject):
    here = await registry.publish(subject, TEXT)
    there = await registry.publish(f"other.{subject}", TEXT)
    assert (there.schema_id, there.version) == (here.schema_id, 1)


async def test_schema_that_cannot_read_earlier_events_is_refused_with_rule_and_field(registry, subject):
    await registry.publish(subject, TEXT)
    with pytest.raises(SchemaIncompatible, match=r"default_missing at state\.note"):
        await registry.publish(subject, without_default(TEXT, "note"))
    assert len(await registry.versions(subject)) == 1


async def test_every_earlier_version_counts_and_not_only_the_last(registry, subject):
    """v1 has no field, v2 has a string with a default: a number of that name would go with v1 alone."""
    await registry.publish(subject, TEXT)
    await registry.publish(subject, with_field(TEXT, "note"))
    await registry.publish(subject, with_field(TEXT, "remark"))
    with pytest.raises(SchemaIncompatible, match=r"type_changed at state\.note"):
        await registry.publish(subject, with_field(TEXT, "note", type=["null", "long"]))


@pytest.mark.parametrize("text", ["", "{", '"string"', '{"type": "record", "name": "A"}', "[]"])
async def test_what_is_no_avro_record_is_refused(registry, subject, text):
    with pytest.raises(SchemaIncompatible):
        await registry.publish(subject, text)
    assert await registry.versions(subject) == ()


async def test_unknown_id_is_told_as_unknown(registry):
    with pytest.raises(SchemaUnknown, match="2000000000"):
        await registry.schema(SchemaId(2_000_000_000))


async def test_unknown_subject_has_no_versions(registry):
    assert await registry.versions("nobody.code.ward-value") == ()


async def test_vietnamese_in_a_schema_comes_back_as_it_was(registry, subject):
    text = with_field(TEXT, "note", doc_vi="Ghi chú của Ủy ban nhân dân")
    release = await registry.publish(subject, text)
    assert (await registry.versions(subject))[0].schema == json.loads(text)
    assert await registry.schema(release.schema_id) == json.loads(text)
