"""What Kafka hands out: batches, records, headers, the prefix of a value."""

import gzip
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from random import Random
from unittest import mock
from zlib import crc32

import cramjam
from aiokafka import TopicPartition
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from bus import unreadable, wire
from bus.batches import OneByOne, Runs
from bus.errors import BusError
from bus.headers import read_tombstone, tombstone_headers
from bus.records import FEW, Record, Records, Run, read_headers
from bus.varint import written
from tests.events import deleted, resident
from tests.fuzz.mutating import BINARY, mutated
from tests.fuzz.target import Target

AT = TopicPartition("city.resident.identity", 3)
HEADER = struct.Struct(">qiibIhiqqqhii")
CRC_AT, CRC_ENDS = 17, 21
HEADERS = [("ce_id", b"1"), ("traceparent", None), ("đ", b"\xff" * 70)]
PACK = {0: bytes, 1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}


def batch(codec: int, count: int, *, regular: bool = False, transactional: bool = False) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, int(transactional), 7 if transactional else -1, 0, -1, 1 << 24)
    for place in range(count):
        value = None if not regular and place % 5 == 3 else b"v" * (place % 90)
        headers = HEADERS[:1] if regular else HEADERS[: place % 4]
        builder.append(place, 1_780_000_000_000 + place, b"k%04d" % place, value, headers)
    return bytes(builder.build())


def marker(kind: int, key: bytes | None = None) -> bytes:
    """A control batch: 0 aborts, 1 commits what producer 7 has sent."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, 7, 0, -1, 1 << 16)
    builder.append(0, 1_780_000_000_000, struct.pack(">hh", 0, kind) if key is None else key, b"\x00" * 6, [])
    made = bytearray(builder.build())
    made[22] |= 0x20
    return sealed(bytes(made))


def sealed(data: bytes) -> bytes:
    """The first batch with the length and the sum that it has to have."""
    if len(data) < HEADER.size:
        return data
    length = struct.pack(">i", len(data) - 12)
    return data[:8] + length + data[12:CRC_AT] + struct.pack(">I", calc_crc32c(data[CRC_ENDS:])) + data[CRC_ENDS:]


def seal_mostly(random: Random, data: bytes) -> bytes:
    return sealed(data[:16] + b"\x02" + data[17:]) if random.random() < 0.9 else data


def packed_anew(random: Random, data: bytes) -> bytes:
    """Records changed inside their packing, or packed otherwise than the batch says."""
    if len(data) < HEADER.size:
        return data
    codec = random.randrange(5)
    inner = mutated(random, PLAIN, BINARY)[HEADER.size :]
    told = codec if random.random() < 0.9 else random.randrange(8)
    header = bytearray(data[: HEADER.size])
    header[22] = header[22] & ~7 | told
    return bytes(header) + PACK[codec](inner)


def bomb(codec: int, packed: bytes) -> bytes:
    header = bytearray(batch(0, 1)[: HEADER.size])
    header[22] = codec
    return sealed(bytes(header) + packed)


def bombs() -> list[bytes]:
    zeros = bytes(1 << 27)
    return [
        bomb(1, gzip.compress(zeros)),
        bomb(2, cramjam.snappy.compress_raw(zeros)),
        bomb(2, snappy_encode(zeros)),
        bomb(2, written(2**31) + b"\x00" * 40),
        bomb(2, b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01" + b"\xff\xff\xff\xfc" + b"\x01" * 40),
        bomb(3, lz4_encode(zeros)),
        bomb(4, zstd_encode(zeros)),
        bomb(4, bytes(zstd_encode(zeros[: 1 << 24])) * 16),
    ]


PLAIN = [batch(0, 3), batch(0, 70), batch(0, 70, regular=True), batch(0, 600), batch(0, 1)]


def header_cases() -> list[bytes]:
    one, many = batch(0, 3), batch(0, 600, regular=True)
    lying = [
        sealed(each[:57] + struct.pack(">i", count) + each[61:])
        for each in (one, many)
        for count in (2**31 - 1, -1, 66)
    ]
    lengths = [
        each[:8] + struct.pack(">i", size) + each[12:] for each in (one,) for size in (-12, -13, 0, 2**31 - 1, 36)
    ]
    records = [
        b"\x00" * 500,
        b"\x01" * 500,
        b"\xff" * 100_000,
        written(-40) * 200,
        b"\x0c" + b"\x00" * 5 + b"\xff" * 20,
    ]
    loops = [sealed(one[:57] + struct.pack(">i", 70) + each) for each in records]
    return [*lying, *lengths, *loops, marker(0, b""), marker(0, b"\x00"), sealed(one[: HEADER.size])]


def read_batches(data: bytes) -> bool:
    runs = list(Runs(AT, data, [(7, 0)], 0))
    found = list(Records.of(runs))
    assert list(OneByOne(Runs(AT, data, [(7, 0)], 0))) == found
    return sound(found)


def read_batches_together(inputs: Sequence[bytes]) -> int:
    """Each taken apart by itself, the records of small ones read at once: a frame costs as much as many of them."""
    taken, small = 0, []
    for data in inputs:
        try:
            runs = list(Runs(AT, data, [(7, 0)], 0))
        except (BusError, CorruptRecordException):
            continue
        if sum(run.count for run in runs) > FEW:
            taken += sound(Records.of(runs))
        else:
            small += runs
            taken += read_batches(data) if crc32(data) % 20 == 0 else 1
    with mock.patch("bus.records.FEW", 1 << 40):
        deque(Records.of(small), maxlen=0)
    return taken


def sound(found: Iterable[Record]) -> bool:
    """Whether no record stands for what could not be read."""
    return all([unreadable.why(record.headers) is None for record in found])  # noqa: C419 - all of them are read


def batches() -> Target:
    samples = [*PLAIN, *(batch(codec, count) for codec in (1, 2, 3, 4) for count in (3, 70)), marker(0), marker(1)]
    samples += [batch(0, 5, transactional=True), marker(0) + batch(3, 70), batch(0, 3) + batch(4, 3)]
    return Target(
        read_batches,
        samples,
        cases=[*bombs(), *header_cases()],
        mutators=[*BINARY, packed_anew, packed_anew, packed_anew],
        dress=seal_mostly,
        refusals=(BusError, CorruptRecordException),
        short=1_000,
        read_many=read_batches_together,
    )


FLAGS = (0, 0, 0, 1)
"""One in four is read natively, which takes ten times as long."""


def read_records(data: bytes) -> bool:
    """Four bytes of count, two of flags, then records as in a batch."""
    few = 0 if data[4:5] == b"\x01" else FEW
    run = run_of(data)
    with mock.patch("bus.records.FEW", few):
        return sound(Records.of([run, run] if few else [run]))


def run_of(data: bytes) -> Run:
    count = int.from_bytes(data[:4], "big")
    body = data[6:]
    if count * 7 > len(body):  # as ``Runs`` has seen to
        count = len(body) // 7
    return Run("city.resident.identity", 3, 7, 1_780_000_000_000, None, count, body, 9 if data[5:6] == b"\x01" else 0)


def read_records_together(inputs: Sequence[bytes]) -> int:
    """Those for columns one by one, for it is lengths that do not add up that are looked for, the rest at once."""
    taken = sum(read_records(data) for data in inputs if data[4:5] == b"\x01")
    runs = [run_of(data) for data in inputs if data[4:5] != b"\x01"]
    with mock.patch("bus.records.FEW", 1 << 40):
        refused = {(record.topic, record.value) for record in Records.of(runs) if unreadable.why(record.headers)}
    return taken + max(len(runs) - len(refused), 0)


def records() -> Target:
    bodies = {each: batch(0, each)[HEADER.size :] for each in (1, 3, 70, 300)}
    bodies[71] = batch(0, 71, regular=True)[HEADER.size :]
    samples = [count.to_bytes(4, "big") + bytes((few, 0)) + body for count, body in bodies.items() for few in FLAGS]
    lying = [each[6:] for each in samples]
    cases = [b"\xff\xff\xff\xff\x01\x00" + each for each in lying] + [b"\x00\x00\x10\x00\x01\x00" + b"\x01" * 30_000]
    return Target(read_records, samples, cases=cases, short=800, read_many=read_records_together)


def encoded_headers(headers: list[tuple[str, bytes | None]]) -> bytes:
    found = written(len(headers))
    for name, value in headers:
        found += written(len(name.encode())) + name.encode()
        found += written(-1) if value is None else written(len(value)) + value
    return found


def read_tombstones(data: bytes) -> bool:
    return read_tombstone(read_headers(data)).version is not None


def tombstones() -> Target:
    samples = [
        encoded_headers(list(tombstone_headers(deleted(number), trace)))
        for number, trace in ((1, None), (2, "00-1-2-01"))
    ]
    times = [b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"2026", b"\xff", b"2026-07-06T00:00:00+99:99"]
    told = dict(tombstone_headers(deleted(3)))
    cases = [encoded_headers(list({**told, "ce_time": each}.items())) for each in times]
    cases += [
        encoded_headers(list({**told, "ce_recordversion": each}.items()))
        for each in (b"9" * 5_000, b"1_0", b"\xd9\xa1", b"")
    ]
    cases += [written(2**40), written(-1), b"\xff" * 100_000, b"", encoded_headers([])]
    return Target(read_tombstones, samples, cases=cases)


def wires() -> Target:
    sample = wire.prefix(resident(7).version) + b"body"
    return Target(lambda data: wire.split(data)[0] >= 0, [sample, wire.prefix(2**32 - 1)], cases=[b"", b"\x00"])
