"""One Kafka transaction: all of its records are readable, or none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced

from bus.fencing import transactional_id

__all__ = ["transaction", "transactional_id"]

ABORT_SECONDS = 5  # an abort that takes longer is left to the broker, which ends the transaction after 10 s


@asynccontextmanager
async def transaction(client: AIOKafkaProducer) -> AsyncIterator[None]:
    """Commit when the block ends; abort when it raises.

    The block must await every record's acknowledgement: the client would commit without a record that failed. Raises
    Kafka's errors, ProducerFenced among them. After an error at the commit itself nobody knows whether it happened:
    only reading the topic tells.
    """
    _fit(client)
    await client.begin_transaction()
    try:
        yield
        _fit(client)
        await client.commit_transaction()
    except BaseException:
        with suppress(KafkaError, TimeoutError, AssertionError):
            async with asyncio.timeout(ABORT_SECONDS):
                await client.abort_transaction()
        raise


def _fit(client: AIOKafkaProducer) -> None:
    """Raise what ended the client's sender, where it has ended: the client itself would only fail an assertion."""
    task = client._sender.sender_task  # noqa: SLF001 - no public way to ask
    if task is not None and task.done():
        error = None if task.cancelled() else task.exception()
        raise error or ProducerFenced()
