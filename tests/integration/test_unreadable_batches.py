"""Batches that unpack to more than anybody's memory, and what a real broker does and doesn't let in."""

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from bus import compression, unreadable
from bus import kafka as clients
from bus.names import SchemaId
from bus.registry import open_registry
from bus.settings import KafkaSettings
from bus.varint import written
from producers.tail import Tail
from tests.consuming import Feed, catch_up, counters, held, replica_settings, upsert
from tests.fuzz.targets.kafka import HEADER, PACK, batch, sealed
from tests.parking import parked_in
from tests.producing import IDENTITY, person, prepare, registry_settings

CODECS = ["gzip", "lz4", "zstd"]
"""Not snappy: at most 21 to 1, so that a broker refuses the bomb for its size."""


@pytest.fixture
async def feed(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return Feed(kafka, topic_prefix)


@pytest.fixture
def settings(kafka, topic_prefix, tmp_path):
    return replica_settings(kafka, topic_prefix, f"sqlite:///{tmp_path}/replica.db", [IDENTITY])


def key(number: int) -> bytes:
    return person(number)["personal_id"].encode()


async def drop_bomb(kafka: KafkaSettings, topic: str, partition: int, *, codec: str = "zstd") -> int:
    """A batch of some kilobytes that holds more than may be unpacked; at which offset."""
    size = compression.MOST_BYTES + 1
    async with clients.producer(kafka, compression_type=codec, max_request_size=2 * size) as producer:
        told = await producer.send_and_wait(topic, bytes(size), key(99), partition=partition)
    return int(told.offset)


async def test_a_bomb_is_parked_as_one_and_its_neighbours_go_on(feed, settings):
    await feed.send([upsert(number, 10) for number in range(40)])
    await drop_bomb(feed.kafka, feed.topic, 0)
    at = await drop_bomb(feed.kafka, feed.topic, 0)
    await feed.send([upsert(number, 20) for number in range(40)])
    await catch_up(settings)
    assert {row["version"] for row in held(settings).values()} == {20}
    assert counters(settings) == {"applied": 40, "parked": 2, "superseded": 40}
    parked = parked_in(settings)[-1]
    assert (parked.reason, parked.offset, parked.key) == ("batch_unreadable", at, None)
    assert f"the batch at offset {at}: codec 4" in parked.detail
    assert HEADER.unpack_from(parked.value or b"")[0] == at, "the batch's own bytes"
    assert dict(parked.headers)[unreadable.THROUGH] == str(at).encode()


async def test_who_reads_record_by_record_passes_a_bomb_by_too(feed, topic_prefix, monkeypatch):
    monkeypatch.setattr(compression, "MOST_BYTES", 2 << 20)
    topic = registry_settings(topic_prefix).topic
    await feed.send([upsert(number, 10) for number in range(40)])
    for partition, codec in enumerate(CODECS):
        await drop_bomb(feed.kafka, feed.topic, partition, codec=codec)
    await drop_bomb(feed.kafka, topic, 0)
    async with open_registry(registry_settings(topic_prefix), feed.kafka) as registry:
        assert (await registry.versions(feed.register.avro_subject))[-1].schema_id >= SchemaId(1)
        water = await Tail(feed.kafka, registry, feed.register.name).high_water(feed.topic, 12)
    assert set(water.values()) == {10}


def inside(records: bytes, codec: int, count: int = 1) -> bytes:
    header = bytearray(batch(0, count)[: HEADER.size])
    header[22] = codec
    return sealed(bytes(header) + PACK[codec](records))


LONG_HEADERS = b"\x00\x00\x00\x02k\x02v" + written(9)
RUBBISH = {
    "records that are none": b"\xff" * 60,
    "fewer records than claimed": b"",
    "headers that do not end": written(len(LONG_HEADERS)) + LONG_HEADERS,
    "bytes behind the last record": batch(0, 1)[HEADER.size :] + b"more",
}


async def test_a_broker_lets_in_no_batch_whose_packing_or_records_are_none(feed):
    """So that of what a producer can write, only what unpacks to too much is unreadable."""
    rubbish = [inside(records, codec) for records in RUBBISH.values() for codec in PACK]
    rubbish += [sealed(inside(b"", codec)[: HEADER.size] + b"rubbish" * 9) for codec in PACK if codec]
    async with clients.producer(feed.kafka, enable_idempotence=False) as producer:
        for data in rubbish:
            with pytest.raises(KafkaError):
                await send(producer, feed.topic, data)
        told = [await send(producer, feed.topic, inside(batch(0, 1)[HEADER.size :], codec)) for codec in PACK]
    assert [each.offset for each in told] == list(range(len(PACK))), "the same way, sound batches come in"


async def send(producer: AIOKafkaProducer, topic: str, data: bytes) -> RecordMetadata:
    """A batch as it is: the client takes its records for what it has built itself."""
    made = producer.create_batch()
    made.append(timestamp=None, key=b"k", value=b"v")
    made.close()
    made._buffer = data
    return await (await producer.send_batch(made, topic, partition=0))
