"""What tests of replicas need: events with chosen versions on real topics, a daemon run to its end, and its store."""

import asyncio
from collections.abc import Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils.compat import uuid7

from bus import codec
from bus import kafka as clients
from bus.catalog import load_catalog
from bus.event import MARKER_KEY, Event, Op
from bus.headers import event_headers, tombstone_headers
from bus.names import AgencyCode, RegisterName
from bus.registry import open_registry
from bus.settings import KafkaSettings
from consumers.replica import ReplicaDaemon
from consumers.settings import ReplicaSettings
from consumers.stores import open_reader, open_store
from tests.producing import POLICE, person, registry_settings

NOW = datetime(2026, 7, 6, 1, 30, tzinfo=UTC)


def event(key: str, version: int, state: dict[str, Any] | None = None, **changes: Any) -> Event:
    """An event of the police; UPSERT with a state, DELETE without one, unless ``op`` says otherwise."""
    at = NOW + timedelta(microseconds=version)
    told = {
        "register": RegisterName("resident.identity"),
        "event_id": uuid7(),
        "op": Op.DELETE if state is None else Op.UPSERT,
        "key": key,
        "version": version,
        "source": AgencyCode(POLICE),
        "occurred_at": at,
        "recorded_at": at,
        "replaced_by": None,
        "state": state,
    }
    return Event(**(told | changes))


def upsert(number: int, version: int, **changes: Any) -> Event:
    state = person(number, **changes)
    return event(state["personal_id"], version, state)


def delete(number: int, version: int) -> Event:
    return event(person(number)["personal_id"], version)


def merge(number: int, into: int, version: int) -> Event:
    return event(person(number)["personal_id"], version, op=Op.MERGE, replaced_by=person(into)["personal_id"])


class Feed:
    """Writes to one register's topic what a test wants there."""

    def __init__(self, bootstrap: str, prefix: str, register: str = "resident.identity") -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self._prefix = prefix
        self.register = load_catalog(prefix=prefix).register(register)
        self.topic = self.register.topic(AgencyCode(POLICE))

    async def encoder(self, version: int = -1) -> codec.Encoder:
        async with open_registry(registry_settings(self._prefix), self.kafka) as registry:
            released = (await registry.versions(self.register.avro_subject))[version]
        return codec.Encoder(released.schema_id, codec.parse(released.schema))

    async def send(self, events: Iterable[Event], *, schema_version: int = -1, tombstones: bool = True) -> None:
        """Each event, a delete with its tombstone behind it, in order."""
        encoder = await self.encoder(schema_version)
        async with clients.producer(self.kafka) as producer:
            sent = []
            for each in events:
                key = each.key.encode()
                headers = event_headers(each)
                sent.append(await producer.send(self.topic, encoder.encode(each), key, headers=headers))
                if each.op is Op.DELETE and tombstones:
                    sent.append(await producer.send(self.topic, None, key, headers=tombstone_headers(each)))
            await asyncio.gather(*sent)

    async def send_raw(self, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        async with clients.producer(self.kafka) as producer:
            await producer.send_and_wait(self.topic, value, key, partition=partition)

    async def send_marker(self, partition: int) -> None:
        await self.send_raw(MARKER_KEY, None, partition)


def replica_settings(
    bootstrap: str, prefix: str, database: str, registers: Iterable[str], **more: Any
) -> ReplicaSettings:
    return ReplicaSettings.model_validate(
        {
            "replica": {
                "agency": "H29.4",
                "database": database,
                "registers": list(registers),
                "prefix": prefix,
                **more,
            },
            "kafka": {"bootstrap_servers": bootstrap},
            "registry": {"topic": registry_settings(prefix).topic},
            "metrics": {"port": 0},
        }
    )


def daemon_of(settings: ReplicaSettings) -> ReplicaDaemon:
    catalog = load_catalog(prefix=settings.replica.prefix)
    return ReplicaDaemon(settings, catalog, open_store(settings.replica.database))


async def catch_up(settings: ReplicaSettings) -> None:
    """One run of the daemon until it has what is there."""
    await daemon_of(settings).run(until_caught_up=True)


@asynccontextmanager
async def following(settings: ReplicaSettings):
    """A daemon beside the test, ready; stopped cleanly at the end."""
    daemon = daemon_of(settings)
    task = asyncio.create_task(daemon.run())
    try:
        await until(lambda: task.done() or not daemon.unready())
        yield daemon
    finally:
        daemon.stop()
        await task


async def until(condition, seconds: float = 30.0) -> None:
    """Wait for a condition, looked at every few milliseconds; TimeoutError when it does not come."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the conditions are rows in databases, which give no signal
            await asyncio.sleep(0.01)


def held(settings: ReplicaSettings, register: str = "resident.identity") -> dict[str, dict[str, Any]]:
    """Rows of a register by key, as the database has them."""
    with open_reader(settings.replica.database) as reader:
        return {row["key"]: row for row in reader.rows(RegisterName(register)).to_dicts()}


def counters(settings: ReplicaSettings, register: str = "resident.identity") -> dict[str, int]:
    with open_reader(settings.replica.database) as reader:
        return {name: n for name, n in reader.counters(RegisterName(register)).items() if n}
