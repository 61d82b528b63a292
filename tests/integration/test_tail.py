"""``lienthong tail`` as a process: what it prints, how it ends."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bus import kafka as clients
from bus.registry import open_registry
from bus.settings import KafkaSettings, RegistrySettings
from tests.events import deleted, make_topics, record, release, resident, send, tombstone


@pytest.fixture
async def topic(kafka, topic_prefix) -> str:
    return await make_topics(kafka, topic_prefix)


@pytest.fixture
async def encoder(kafka, topic_prefix, tmp_path):
    where = RegistrySettings(topic=f"{topic_prefix}_schemas", cache_dir=tmp_path)
    async with open_registry(where, KafkaSettings(bootstrap_servers=kafka)) as registry:
        return await release(registry, topic_prefix)


@pytest.fixture
def tail(kafka, topic_prefix):
    @asynccontextmanager
    async def started(*arguments: str, at: str = kafka) -> AsyncIterator[asyncio.subprocess.Process]:
        command = [
            *(sys.executable, "-c", "from bus.cli import main; main()", "tail", "--kafka", at),
            *("--prefix", topic_prefix, "--registry", f"{topic_prefix}_schemas", *arguments),
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return started


async def lines(process: asyncio.subprocess.Process) -> tuple[int | None, list[str], str]:
    out, error = await process.communicate()
    return process.returncode, out.decode().splitlines(), error.decode()


async def test_until_end_shows_what_is_there_and_ends(tail, kafka, topic, encoder):
    gone = deleted(2, version=3)
    await send(kafka, topic, record(encoder, resident(1)), record(encoder, gone), tombstone(gone))
    async with tail("resident.identity", "--from-beginning", "--until-end", "--json") as process:
        code, out, _ = await lines(process)
    rows = [json.loads(text) for text in out]
    assert (code, sorted(row["op"] for row in rows)) == (0, ["DELETE", "TOMBSTONE", "UPSERT"])
    assert "Nguyễn" not in "".join(out)


async def test_limit_ends_and_unmask_shows(tail, kafka, topic, encoder):
    await send(kafka, topic, *(record(encoder, resident(number)) for number in (1, 2, 3)), partition=0)
    async with tail("resident.identity", "--from-beginning", "--limit", "2", "--unmask") as process:
        code, out, _ = await lines(process)
    assert (code, len(out)) == (0, 2)
    assert "079085000001" in out[0]
    assert "full_name=Nguyễn Văn 1" in out[0]


async def test_open_transaction_is_not_shown(tail, kafka, topic, encoder):
    await send(kafka, topic, record(encoder, resident(1)), partition=0)
    settings = KafkaSettings(bootstrap_servers=kafka)
    async with clients.producer(settings, transactional_id=topic) as producer:
        await producer.begin_transaction()
        key, value, headers = record(encoder, resident(2))
        await producer.send_and_wait(topic, value, key=key, headers=headers, partition=0)
        async with tail("resident.identity", "--from-beginning", "--until-end", "--json") as process:
            code, out, _ = await lines(process)
        await producer.abort_transaction()
    assert (code, [json.loads(text)["version"] for text in out]) == (0, [1])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_new_event_is_shown_as_it_comes_and_a_signal_ends_cleanly(tail, kafka, topic, encoder, how):
    await send(kafka, topic, record(encoder, resident(1)))
    async with tail("resident.identity", "--json") as process:
        assert b"following" in await process.stderr.readline()
        await send(kafka, topic, record(encoder, resident(2)))
        assert json.loads(await process.stdout.readline())["version"] == 2
        process.send_signal(how)
        code, out, error = await lines(process)
    assert (code, out, error) == (0, [], "")


async def test_register_of_many_writers_shows_all_their_topics(tail, kafka, topic_prefix):
    await make_topics(kafka, topic_prefix, "dossier.case")
    for agency in ("H29.2", "H29.101"):
        await send(kafka, f"{topic_prefix}.dossier.case.{agency}", (b"k", b"x", []))
    async with tail("dossier.case", "--from-beginning", "--until-end", "--json") as process:
        code, out, _ = await lines(process)
    assert (code, {json.loads(text)["topic"] for text in out}) == (
        0,
        {f"{topic_prefix}.dossier.case.H29.2", f"{topic_prefix}.dossier.case.H29.101"},
    )


@pytest.mark.parametrize(
    ("arguments", "at", "code", "told"),
    [
        (("resident.identities",), None, 3, "no such register"),
        (("resident.identity",), "127.0.0.1:1", 4, "127.0.0.1:1"),
        (("code.country",), None, 7, "lienthong topics apply"),
    ],
)
async def test_mistake_is_one_clear_line(tail, kafka, arguments, at, code, told):
    async with tail(*arguments, at=at or kafka) as process:
        ended, out, error = await lines(process)
    assert (ended, out, error.count("\n")) == (code, [], 1)
    assert told in error
