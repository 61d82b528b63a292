"""Records to Kafka, a transaction at a time, under the id of the register and shard."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from bus import kafka
from bus.crashpoints import crash_point
from bus.errors import BrokerUnavailable
from bus.names import TopicName
from bus.settings import KafkaSettings
from producers.outbox.relay.encoding import KafkaRecord
from producers.transaction import transactional_id

LINGER_MS = 20  # batches fill while a transaction is being filled; the flush at its end waits for nothing
SAMPLE = (
    64  # every so many records one tells its offset: a position may lag behind, and a report costs as much as a record
)
FULL_SECONDS = 1.0
BATCH_BYTES = 512 * 1024


class Sender:
    """One relay's transactional producer. Blocking; after any error it is of no more use: make a new one."""

    def __init__(self, settings: KafkaSettings, topic: TopicName, shard: int, compression: str) -> None:
        self._settings = settings
        self._topic = topic
        self._offsets: dict[int, int] = {}
        self._producer = _producer(settings, topic, shard, compression)

    def fence(self) -> None:
        """From now on nobody else sends under this id. Raises BrokerUnavailable."""
        with kafka.told_plainly(self._settings):
            self._producer.init_transactions(kafka.START_SECONDS)

    def send(self, records: Sequence[KafkaRecord]) -> dict[int, int]:
        """All of them, in one committed transaction, or an error: then only the topic tells what became of them.

        Gives per partition an offset up to which, itself included, everything is of this transaction or earlier.
        Raises Fenced, BrokerUnavailable.
        """
        self._offsets = {}
        with kafka.told_plainly(self._settings), _itself():
            self._producer.begin_transaction()
            crash_point("outbox.begun")
            self._produce(records)
            if self._producer.flush(kafka.TRANSACTION_TIMEOUT_MS / 1000):
                raise BrokerUnavailable(f"Kafka at {self._settings.bootstrap_servers}: no acknowledgement in time")
            crash_point("outbox.sent")
            self._producer.commit_transaction(kafka.START_SECONDS)
        crash_point("outbox.committed")
        return self._offsets

    def close(self) -> None:
        """End an open transaction, so that nobody has to wait for its timeout, and drop what is queued."""
        with suppress(KafkaException, SystemError):
            self._producer.purge()
            self._producer.abort_transaction(1.0)
            self._producer.flush(1.0)

    def _produce(self, records: Iterable[KafkaRecord]) -> None:
        produce: Any = self._producer.produce  # its declared headers are a list of a wider, invariant type
        topic = self._topic
        for number, (key, value, headers) in enumerate(records):
            told = self._told if number % SAMPLE == 0 else None
            while True:
                try:
                    produce(topic, value, key, headers=headers, on_delivery=told)
                    break
                except BufferError:
                    self._producer.poll(FULL_SECONDS)
            if told is not None:
                self._producer.poll(0)

    def _told(self, error: KafkaError | None, message: Any) -> None:
        """Errors are raised by the commit."""
        if error is None:
            partition = message.partition()
            self._offsets[partition] = max(message.offset(), self._offsets.get(partition, 0))


@contextmanager
def _itself() -> Iterator[None]:
    """Raise a fatal error as such: where it meets a delivery report, the library raises SystemError because of it."""
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, KafkaException):
            raise error.__cause__ from None
        raise


def _producer(settings: KafkaSettings, topic: TopicName, shard: int, compression: str) -> Producer:
    return kafka.transactional(
        settings,
        transactional_id(topic, shard),
        **{
            "compression.type": compression,
            "linger.ms": LINGER_MS,
            "batch.size": BATCH_BYTES,
            "queue.buffering.max.messages": 200_000,
        },
    )
