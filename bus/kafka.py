"""Kafka clients from our settings, Kafka's errors in our words. aiokafka carries data, confluent-kafka administers."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError, KafkaError, KafkaTimeoutError, ProducerFenced
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from bus.batches import bounded
from bus.errors import BrokerUnavailable, Fenced
from bus.settings import KafkaSettings

TRANSACTION_TIMEOUT_MS = 10_000  # below the brokers' transaction.max.timeout.ms of 30 s
START_SECONDS = 30  # covers an earlier instance's open transaction, which the broker ends within 10 s
STOP_SECONDS = 10
GIVE_UP_SECONDS = 0.5
FENCED = "a later instance of this adapter has taken over; this one stops and may send nothing more"
_SILENT = logging.Logger("librdkafka")  # noqa: LOG001 - of no tree, so that nothing is ever told
_SILENT.addHandler(logging.NullHandler())
_FENCED = (LibraryError._FENCED, LibraryError.PRODUCER_FENCED, LibraryError.INVALID_PRODUCER_EPOCH)  # noqa: SLF001
LINGER_MS = 0  # a lone event is sent at once; under load, batches form while the one before is in flight


@contextmanager
def told_plainly(settings: KafkaSettings) -> Iterator[None]:
    """Turn the clients' errors into ours: Fenced when a successor took over, else BrokerUnavailable."""
    try:
        yield
    except ProducerFenced as error:
        raise Fenced(FENCED) from error
    except (KafkaError, KafkaException) as error:
        if isinstance(error, KafkaException) and error.args and error.args[0].code() in _FENCED:
            raise Fenced(FENCED) from error
        raise BrokerUnavailable(f"Kafka at {settings.bootstrap_servers}: {_short(error)}; {_remedy(error)}") from error


def _short(error: Exception) -> str:
    told = error.args[0] if isinstance(error, KafkaException) and error.args else None
    if isinstance(error, InvalidTimestampError) or (told and told.code() == LibraryError.INVALID_TIMESTAMP):
        return "record from the future: the clock here is more than an hour ahead of the broker's, set it right"
    text = told.str() if told else str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def _remedy(error: Exception) -> str:
    """What mends it; a daemon tries again meanwhile."""
    told = error.args[0] if isinstance(error, KafkaException) and error.args else error
    name = told.name() if isinstance(told, LibraryError) else type(told).__name__
    word = name.strip("_").replace("_", "").lower()
    return next(
        (remedy for part, remedy in _REMEDIES.items() if part in word), "check that it runs and the address is right"
    )


_REMEDIES = {
    "transactionalidauthorization": "grant this user WRITE on the transactional id",
    "topicauthorization": "grant this user READ or WRITE on the topic",
    "groupauthorization": "grant this user READ on the group",
    "authorization": "grant this user what it lacks",
    "authentication": "look at sasl_username and sasl_password under [kafka]",
    "sasl": "look at sasl_mechanism under [kafka]",
    "invalidsessiontimeout": "brokers allow session_seconds from their group.min.session.timeout.ms on, 6 s by default",
}
"""By a part of the error's name, the closest first."""


@asynccontextmanager
async def producer(
    settings: KafkaSettings, *, stop_seconds: float = STOP_SECONDS, **options: Any
) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer, started; with ``transactional_id``, one that has fenced all before it.

    What the broker has not acknowledged ``stop_seconds`` after the block's end fails, so that nobody waits for ever.
    """
    client = AIOKafkaProducer(
        **_common(settings),
        **{
            "enable_idempotence": True,
            "acks": "all",
            "linger_ms": LINGER_MS,
            "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
            **options,
        },
    )
    try:
        with told_plainly(settings):
            await _start(client)
        yield client
    finally:
        await _stop_within(client, stop_seconds)


async def _start(client: AIOKafkaProducer) -> None:
    """Start, or fail in time: the client alone would ask an absent transaction coordinator for ever."""
    try:
        async with asyncio.timeout(START_SECONDS):
            await client.start()
    except TimeoutError as error:
        raise KafkaTimeoutError(f"no answer to a new producer within {START_SECONDS} s") from error


async def _stop_within(client: AIOKafkaProducer, seconds: float) -> None:
    """Drain, then leave. The client's own ``stop`` would wait without end for a broker that is away."""
    stopping = asyncio.ensure_future(client.stop())
    done, _ = await asyncio.wait([stopping], timeout=seconds)
    if not done:
        await _give_up(client)
    await stopping


async def _give_up(client: AIOKafkaProducer) -> None:
    """End the client's sender, for which it has no public way: connections first, so that requests in flight fail."""
    sender = client._sender.sender_task  # noqa: SLF001
    await client.client.close()
    for _ in range(2):  # once asks it to finish what is in flight, twice breaks that off
        sender.cancel()
        await asyncio.wait([sender], timeout=GIVE_UP_SECONDS)
    client._message_accumulator.fail_all(KafkaTimeoutError())  # noqa: SLF001 - whoever still waits hears of it


@asynccontextmanager
async def consumer(settings: KafkaSettings, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A read_committed consumer, started, that commits no offsets: positions live beside the rows.

    What it fetches is unpacked within bounds.
    """
    client = AIOKafkaConsumer(
        **_common(settings),
        **{
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            **options,
        },
    )
    try:
        with told_plainly(settings):
            await client.start()
        bounded(client)
        yield client
    finally:
        await _leave(client)


async def reach(settings: KafkaSettings) -> None:
    """The cluster answers. Raises BrokerUnavailable, of a closed port at once: librdkafka tries on for 10 s."""
    async with consumer(settings):
        pass


async def _leave(client: AIOKafkaConsumer) -> None:
    """Close a consumer. Its own ``stop`` breaks off where a fetch that has failed waits to be tried again.

    What it then raises is that fetch's cancellation, and would be taken for one of ours: a task that closes a consumer
    after a connection was reset would end without a word.
    """
    stopping = asyncio.ensure_future(client.stop())
    try:
        await asyncio.wait([stopping])
    except asyncio.CancelledError:
        await asyncio.wait([stopping], timeout=STOP_SECONDS)
        raise
    finally:
        if stopping.cancelled():
            for fetch in client._fetcher._pending_tasks:  # noqa: SLF001
                fetch.cancel()
            await asyncio.gather(*client._fetcher._pending_tasks, return_exceptions=True)  # noqa: SLF001
            await client._client.close()  # noqa: SLF001
    if not stopping.cancelled():
        stopping.result()


def admin(settings: KafkaSettings) -> AdminClient:
    """A client for topics, ids, ACLs. Blocking: call it from a thread where a loop runs."""
    return AdminClient({**_library(settings), "socket.timeout.ms": settings.request_timeout_ms})


def transactional(settings: KafkaSettings, transactional_id: str, **options: Any) -> Producer:
    """A transactional producer of librdkafka's: 7.5 ms a transaction where aiokafka takes 34. Blocking.

    It fences all before it when its ``init_transactions`` is called; ``told_plainly`` tells its errors.
    """
    return Producer(
        {
            **_library(settings),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "partitioner": "murmur2_random",  # Kafka's own
            # Metadata names a dead broker as leader until it is given up: asked again in a second, not in five minutes.
            "topic.metadata.refresh.interval.ms": 1_000,
            "reconnect.backoff.max.ms": 1_000,
            "logger": _SILENT,  # it would tell on stderr of being fenced, which is raised
            "error_cb": lambda _error: None,  # each call raises what concerns it; without this, callbacks would too
            **options,
        }
    )


def _library(settings: KafkaSettings) -> dict[str, Any]:
    """Our settings in librdkafka's words."""
    options: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "log_level": 0,  # librdkafka writes to stderr by itself; what matters arrives as an exception
    }
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        options |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": password.get_secret_value() if password else None,
        }
    if settings.security_protocol.endswith("SSL"):
        options |= {
            "ssl.ca.location": settings.ssl_cafile and str(settings.ssl_cafile),
            "ssl.certificate.location": settings.ssl_certfile and str(settings.ssl_certfile),
            "ssl.key.location": settings.ssl_keyfile and str(settings.ssl_keyfile),
        }
    return {name: value for name, value in options.items() if value is not None}


def _common(settings: KafkaSettings) -> dict[str, Any]:
    common: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": settings.request_timeout_ms,
    }
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        common |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    if settings.security_protocol.endswith("SSL"):
        common["ssl_context"] = _tls(settings)
    return common


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_cafile and str(settings.ssl_cafile))
    if settings.ssl_certfile:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    return context
