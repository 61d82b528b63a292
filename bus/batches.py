"""Record batches as they come from the broker, unpacked within bounds.

aiokafka unpacks whatever a batch claims to hold, and makes an object of each record before it hands it out: a quarter
of all the time that a replica's fill took. ``bounded`` has a consumer's batches unpacked here, and ``by_batches``
has it hand out a ``Run`` for each; assignment, positions, leaders and retries stay the client's own. It has no public
way to that, so this holds on to four private names of ``Fetcher`` and ``FetchResult``, which
``tests/integration/test_batches.py`` holds to the records that the plain consumer gives.
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
from bus.records import LEAST_BYTES, Record, Records, Run
from bus.unreadable import stand_in

# base offset, length, leader epoch, magic, crc, attributes, last offset delta, base timestamp, max timestamp,
# producer id, producer epoch, base sequence, count (Kafka protocol guide, "Record Batch")
_HEADER = struct.Struct(">qiibIhiqqqhii")
_BEFORE_LENGTH_ENDS = 12
_BEFORE_CRC_ENDS = 21
_MAGIC = 2
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_CONTROL_KEY = struct.Struct(">hh")  # version, type
_ABORT = 0


def bounded(consumer: AIOKafkaConsumer) -> None:
    """Have ``getmany`` give records unpacked here: for a consumer that was started, with nothing assigned yet.

    A batch that cannot be taken apart is one record that says so (``bus.unreadable``). One that does not have the sum
    it was sent with raises CorruptRecordException.
    """
    fetcher = consumer._fetcher  # noqa: SLF001
    process = fetcher._proc_fetch_request  # noqa: SLF001
    heard = fetcher._client = Hearing(fetcher._client)  # noqa: SLF001

    async def proc_fetch_request(assignment: Any, node_id: int, request: Any) -> bool:
        wake: bool = await process(assignment, node_id, request)
        for at, (aborted, data) in heard.of(node_id).items():
            result = fetcher._records.get(at)  # noqa: SLF001
            records = getattr(result, "_partition_records", None)
            if records is not None and not isinstance(records, Runs | OneByOne):
                runs = Runs(at, data, aborted, records.next_fetch_offset)
                result._partition_records = runs if heard.by_batches else OneByOne(runs)  # noqa: SLF001
        return wake

    fetcher._proc_fetch_request = proc_fetch_request  # noqa: SLF001


def by_batches(consumer: AIOKafkaConsumer) -> "Hearing":
    """Have ``getmany`` give a list of ``Run`` a partition: for a bounded consumer with nothing assigned yet.

    ``max_records`` then counts runs, ``position()`` moves a batch at a time.
    """
    heard: Hearing = consumer._fetcher._client  # noqa: SLF001
    heard.by_batches = True
    return heard


class Hearing:
    """A client that keeps the last answer of each broker until it is asked for."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.by_batches = False
        self._answers: dict[int, Any] = {}
        self.heard_at = time.monotonic()
        """When the last answer came: a broker that has nothing new says so every half second, while it is asked."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        self._answers[node_id] = answer = await self._client.send(node_id, request, **options)
        self.heard_at = time.monotonic()
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
    """Iterates over the runs of one answer, in order, without aborted ones; what aiokafka calls partition records.

    To who reads uncommitted ones too, a broker names no aborted ones.
    """

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
                yield self._taken(header, batch)

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

    def _taken(self, header: Sequence[int], batch: memoryview) -> Run:
        """The batch, or one record that stands for it."""
        try:
            return self._run(header, batch)
        except RecordsUnreadable as error:
            base_offset, last = header[0], header[6]
            later = max(self._since - base_offset, 0)
            data = stand_in(str(error), bytes(batch), later=later, through=base_offset + last)
            return self._run_of(header, 1, data)

    def _run(self, header: Sequence[int], batch: memoryview) -> Run:
        attributes, count = header[5], header[12]
        try:
            data = unpacked(attributes & _CODEC, batch[_HEADER.size :])
        except Unpackable as error:
            raise self._unreadable(header, str(error)) from error
        if not 0 <= count * LEAST_BYTES <= len(data):
            raise self._unreadable(header, f"{count} records in {len(data)} bytes")
        return self._run_of(header, count, data)

    def _run_of(self, header: Sequence[int], count: int, data: bytes) -> Run:
        attributes = header[5]
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


class OneByOne:
    """Iterates over the records of runs."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.next_fetch_offset = runs.next_fetch_offset
        """Behind the last record that was given, or the batches that were skipped."""
        self._records = self._unpack()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        return next(self._records)

    def _unpack(self) -> Iterator[Record]:
        for run in self._runs:
            for record in Records.of([run]):
                self.next_fetch_offset = record.offset + 1
                yield record
            self.next_fetch_offset = self._runs.next_fetch_offset
        self.next_fetch_offset = self._runs.next_fetch_offset


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
