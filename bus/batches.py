"""Record batches as they come from the broker, for who reads many records at once.

aiokafka's consumer makes an object of each record before it hands it out: a quarter of all the time that a replica's
fill took. ``by_batches`` has it hand out a ``Run`` for each batch instead; assignment, positions, leaders and retries
stay the client's own. It has no public way to that, so this holds on to four private names of ``Fetcher`` and
``FetchResult``, which ``tests/integration/test_batches.py`` holds to the records that the plain consumer gives.
"""

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.util import calc_crc32c

from bus.compression import Unpackable, unpacked
from bus.errors import RecordsUnreadable
from bus.records import LEAST_BYTES, Records, Run

# base offset, length, leader epoch, magic, crc, attributes, last offset delta, base timestamp, max timestamp,
# producer id, producer epoch, base sequence, count (Kafka protocol guide, "Record Batch")
_HEADER = struct.Struct(">qiibIhiqqqhii")
_BEFORE_LENGTH_ENDS = 12
_BEFORE_CRC_ENDS = 21
_MAGIC = 2
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_CONTROL_KEY = struct.Struct(">hh")  # version, type
_ABORT = 0


def by_batches(consumer: AIOKafkaConsumer) -> "Hearing":
    """Have ``getmany`` give a list of ``Run`` a partition: for a read_committed consumer with nothing assigned yet.

    ``max_records`` then counts runs, ``position()`` moves a batch at a time. A batch that does not have the sum it was
    sent with raises CorruptRecordException.
    """
    fetcher = consumer._fetcher  # noqa: SLF001
    client, process = fetcher._client, fetcher._proc_fetch_request  # noqa: SLF001
    heard = Hearing(client)
    fetcher._client = heard  # noqa: SLF001

    async def proc_fetch_request(assignment: Any, node_id: int, request: Any) -> bool:
        wake: bool = await process(assignment, node_id, request)
        for at, (aborted, data) in heard.of(node_id).items():
            result = fetcher._records.get(at)  # noqa: SLF001
            records = getattr(result, "_partition_records", None)
            if records is not None and not isinstance(records, Runs):
                result._partition_records = Runs(at, data, aborted, records.next_fetch_offset)  # noqa: SLF001
        return wake

    fetcher._proc_fetch_request = proc_fetch_request  # noqa: SLF001
    return heard


class Hearing:
    """A client that keeps the last answer of each broker until it is asked for."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._answers: dict[int, Any] = {}
        self._heard_at = time.monotonic()

    def silent_seconds(self) -> float:
        """Since the last answer: a broker that has nothing new says so every half second."""
        return time.monotonic() - self._heard_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        self._answers[node_id] = answer = await self._client.send(node_id, request, **options)
        self._heard_at = time.monotonic()
        return answer

    def of(self, node_id: int) -> Mapping[TopicPartition, tuple[Sequence[tuple[int, int]], bytes]]:
        """Aborted transactions and batches of each partition in the answer, if it was one to a fetch."""
        answer = self._answers.pop(node_id, None)
        found = {}
        for topic, partitions in getattr(answer, "topics", ()):
            for partition, _error, _highwater, *rest in partitions:
                if len(rest) > 2:
                    aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]
                    found[TopicPartition(topic, partition)] = (aborted or (), rest[-1])
        return found


class Runs:
    """Iterates over the committed runs of one answer, in order; what aiokafka calls partition records."""

    def __init__(self, at: TopicPartition, data: bytes, aborted: Sequence[tuple[int, int]], offset: int) -> None:
        self._at, self._data = at, memoryview(data)
        self._aborted = sorted(aborted, key=lambda each: each[1])
        self._aborting: set[int] = set()
        self._since = offset
        self.next_fetch_offset = offset
        """Behind the last batch that was given or skipped."""
        self._runs = self._unpack()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Run:
        return next(self._runs)

    def _unpack(self) -> Iterator[Run]:
        for batch in _batches(self._data):
            base_offset, _, _, magic, crc, _, last, *_ = header = _HEADER.unpack_from(batch)
            if magic != _MAGIC or crc != calc_crc32c(batch[_BEFORE_CRC_ENDS:]):
                raise CorruptRecordException(f"{self._at}: a batch of another format, or without its checksum")
            wanted = base_offset + last >= self._since and self._committed(header, batch)
            self.next_fetch_offset = max(base_offset + last + 1, self._since)
            if wanted:
                yield self._run(header, batch)

    def _committed(self, header: Sequence[int], batch: memoryview) -> bool:
        """Whether these are records that a read_committed reader gets; notes what a control batch says."""
        base_offset, attributes, producer_id = header[0], header[5], header[9]
        while self._aborted and self._aborted[0][1] <= base_offset:
            self._aborting.add(self._aborted.pop(0)[0])
        if attributes & _CONTROL:
            if _control_type(self._run(header, batch)) == _ABORT:
                self._aborting.discard(producer_id)
            return False
        return not (attributes & _TRANSACTIONAL and producer_id in self._aborting)

    def _run(self, header: Sequence[int], batch: memoryview) -> Run:
        attributes, count = header[5], header[12]
        try:
            data = unpacked(attributes & _CODEC, batch[_HEADER.size :])
        except Unpackable as error:
            raise self._unreadable(header, str(error)) from error
        if not 0 <= count * LEAST_BYTES <= len(data):
            raise self._unreadable(header, f"{count} records in {len(data)} bytes")
        return Run(
            topic=self._at.topic,
            partition=self._at.partition,
            base_offset=header[0],
            base_timestamp=header[7],
            appended=header[8] if attributes & _LOG_APPEND_TIME else None,
            count=count,
            data=data,
            since=self._since,
        )

    def _unreadable(self, header: Sequence[int], why: str) -> RecordsUnreadable:
        return RecordsUnreadable(f"{self._at.topic} {self._at.partition}: the batch at offset {header[0]}: {why}")


def _batches(data: memoryview) -> Iterator[memoryview]:
    """Whole ones: the last of an answer may be cut."""
    start = 0
    while start + _HEADER.size <= len(data):
        (length,) = struct.unpack_from(">i", data, start + _BEFORE_LENGTH_ENDS - 4)
        end = start + _BEFORE_LENGTH_ENDS + length
        if length < _HEADER.size - _BEFORE_LENGTH_ENDS:
            raise CorruptRecordException(f"a batch of {length} bytes is shorter than its header")
        if end > len(data):
            return
        yield data[start:end]
        start = end


def _control_type(run: Run) -> int:
    key = next(iter(Records.of([run])), None)
    if key is None or key.key is None or len(key.key) < _CONTROL_KEY.size:
        raise RecordsUnreadable(
            f"{run.topic} {run.partition}: a control batch at offset {run.base_offset} without a type"
        )
    return int(_CONTROL_KEY.unpack_from(key.key)[1])
