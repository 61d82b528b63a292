"""Whether events flow: from a source's commit into every replica."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psycopg
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from bus import kafka as clients
from bus.errors import BusError
from bus.names import RegisterName
from consumers.stores import open_reader
from consumers.stores.base import Reader
from consumers.stores.model import Slot
from tests.fault.suite.source import Exports, Source
from tests.fault.suite.world import PARTITIONS, REGISTERS, ReplicaPlace, World
from tests.producing import IDENTITY

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 120.0
UNPUBLISHED = "SELECT count(*) FROM residence WHERE change <= %s AND change IS DISTINCT FROM published"


def await_flow(source: Source, replicas: Sequence[ReplicaPlace], seconds: float = PATIENCE_SECONDS) -> float:
    """Commit an event for every partition and wait until all replicas hold them; the moment, monotonic.

    Raises TimeoutError.
    """
    deadline = time.monotonic() + seconds
    versions: dict[str, int] = {}
    while not versions:
        with suppress(psycopg.OperationalError):
            versions = source.probe()
        _pause(deadline, "the source's database takes no event")
    for place in replicas:
        while not _holds(place, versions, deadline):
            _pause(deadline, f"{place.name} cannot be read")
    return time.monotonic()


def _holds(place: ReplicaPlace, versions: dict[str, int], deadline: float) -> bool:
    """False where there is no replica to be read yet, or it went away."""
    with suppress(BusError), open_reader(place.database) as reader:
        while True:
            rows = [reader.get(RegisterName(IDENTITY), key) for key in versions]
            if all(row is not None and row.version >= versions[row.key] for row in rows):
                return True
            _pause(deadline, f"{place.name} does not hold what was committed")
    return False


def await_all(
    world: World, replicas: Sequence[ReplicaPlace], exports: Exports, seconds: float = PATIENCE_SECONDS
) -> None:
    """Until what every source has by now is in every replica, while more comes. Raises TimeoutError."""
    deadline, made = time.monotonic() + seconds, exports.made
    with psycopg.connect(world.truth, autocommit=True) as connection:
        (last,) = connection.execute("SELECT coalesce(max(change), 0) FROM residence").fetchone()
        while connection.execute(UNPUBLISHED, [last]).fetchone()[0]:
            _pause(deadline, "changes of residences are not published")
    while exports.made == made:
        _pause(deadline, "no export is done")
    ends = None
    while ends is None:
        with suppress(KafkaException):
            ends = _ends(world)
        _pause(deadline, "brokers do not tell the topics' ends")
    for place in replicas:
        while True:
            with suppress(BusError), open_reader(place.database) as reader:
                if not (behind := _short(ends, reader)):
                    break
                _pause(deadline, f"{place.name} is behind: {', '.join(behind)}")
            _pause(deadline, f"{place.name} cannot be read")


def await_end(world: World, replicas: Sequence[ReplicaPlace], seconds: float = PATIENCE_SECONDS) -> None:
    """Until nothing waits to be sent, and all replicas stand at the topics' ends. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    waiting = (
        "SELECT (SELECT count(*) FROM lienthong_outbox WHERE sent_at IS NULL)"
        " + (SELECT count(*) FROM residence WHERE change IS DISTINCT FROM published)"
    )
    with psycopg.connect(world.truth, autocommit=True) as connection:
        while connection.execute(waiting).fetchone()[0]:
            _pause(deadline, "sources have rows that are not sent")
    for place in replicas:
        with open_reader(place.database) as reader:
            while behind := _behind(world, reader):
                _pause(deadline, f"{place.name} is behind: {', '.join(behind)}")
            while waiting := sum(each.waiting for each in reader.parked_counts()):
                _pause(deadline, f"{place.name} has {waiting} parked events that are not forwarded")


def _behind(world: World, reader: Reader) -> list[str]:
    """Partitions whose end the replica has not reached, and how far it is."""
    try:
        return _short(_ends(world), reader)
    except KafkaException as error:  # leaders may still change
        return [str(error)]


def _ends(world: World) -> dict[tuple[str, int], int]:
    asked = {TopicPartition(world.topic(name), n): OffsetSpec.latest() for name in REGISTERS for n in range(PARTITIONS)}
    admin = clients.admin(world.settings)  # a new one: whoever has seen leaders change asks with their old epochs
    found = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    return {(at.topic, at.partition): each.result(30).offset for at, each in found.items()}


def _short(ends: Mapping[tuple[str, int], int], reader: Reader) -> list[str]:
    stands = {
        (at.topic, at.partition): position.next_offset
        for name in REGISTERS
        for at, position in reader.positions(RegisterName(name), Slot.LIVE).items()
    }
    return [f"{at[0]} {at[1]}: {stands.get(at, 0)} of {end}" for at, end in ends.items() if stands.get(at, 0) < end]


def _pause(deadline: float, otherwise: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(otherwise)
    time.sleep(LOOK_SECONDS)
