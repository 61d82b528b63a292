"""What breaks: each fault is a word, what it does, and how long it lasts; all is whole again when it returns."""

import asyncio
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError
from confluent_kafka import ElectionType, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bus import kafka as clients
from bus.errors import BusError
from bus.local.kafka import KafkaNode
from tests.fault.suite.judge import Poisoned
from tests.fault.suite.keepers import FileDiffKeeper, Keeper, Ledger
from tests.fault.suite.wires import Mood
from tests.fault.suite.world import BROKERS, REGISTERS, World
from tests.parking import GARBAGE

HANG_SECONDS = 9.0  # a broker that hangs for longer than broker.session.timeout.ms is given up by the cluster
FROZEN_SECONDS = 10.0
FROZEN_TRIES = 5
OPEN_SECONDS = 12.0  # longer than transaction.timeout.ms
IN_SYNC_SECONDS = 120.0
ASK_SECONDS = 5.0  # then another broker may know a controller
FULL_BYTES = 4096


@dataclass(slots=True)
class Saboteur:
    """Breaks one thing at a time and mends it."""

    world: World
    keepers: Sequence[Keeper]
    ledger: Ledger
    chance: random.Random
    poison: int = 0
    """How many undecodable events were sent."""
    turn: int = 0
    """The broker that was killed last."""
    poisoned: list[Poisoned] = field(default_factory=list)
    """Where brokers acknowledged it."""
    mended_at: float = 0.0
    """When the server of the last fault was back, on the monotonic clock."""
    struck: threading.Event = field(default_factory=threading.Event)
    """Set once a fault that lasts has taken hold."""

    def cut(self) -> None:
        wire = self.chance.choice(list(self.world.wires.all.values()))
        if wire.cut():
            self.ledger.fault(f"cut {_kind(wire.name)}")

    def cut_all(self) -> None:
        for wire in self.world.wires.all.values():
            wire.set("shut")
            wire.cut()
        self.struck.set()
        time.sleep(self.chance.uniform(0.1, 0.5))
        self.world.wires.heal()
        self.ledger.fault("network away")

    def slow(self) -> None:
        self._moody("slow", self.chance.uniform(0.3, 1.0), delay=self.chance.uniform(0.02, 0.1))

    def half_open(self) -> None:
        """Requests arrive, answers do not; later they come late, or the connection is reset."""
        self._moody(self.chance.choice(("deaf", "stuck")), self.chance.uniform(0.3, 1.2))

    def shut(self) -> None:
        self._moody("shut", self.chance.uniform(0.1, 0.5))

    def _moody(self, mood: Mood, seconds: float, delay: float = 0.0) -> None:
        wire = self.chance.choice([each for each in self.world.wires.all.values() if each.used])
        wire.set(mood, delay)
        if mood == "shut":
            wire.cut()
        time.sleep(seconds)
        if mood in ("deaf", "stuck") and self.chance.random() < 0.5:
            wire.cut()
        wire.set("open")
        self.ledger.fault(f"{'half-open' if mood in ('deaf', 'stuck') else mood} {_kind(wire.name)}")

    def kill_process(self) -> None:
        keeper = self.chance.choice(self.keepers)
        if keeper.kill():
            self.ledger.fault(f"killed {keeper.name}", kill=True)

    def freeze_process(self) -> None:
        keeper = self.chance.choice(self.keepers)
        if keeper.freeze(self.chance.uniform(0.2, 1.5)):
            self.ledger.fault("frozen process")

    def kill_broker(self) -> None:
        """SIGKILL, in rotation; started again by ``mend``."""
        self.turn = self.turn % len(BROKERS) + 1
        self._kill_broker(self.world.stack.node(self.turn), "killed broker")

    def kill_controller(self) -> None:
        self._kill_broker(self.world.stack.node(controller_of(self.world)), "killed controller")

    def _kill_broker(self, node: KafkaNode, kind: str) -> None:
        node.kill()
        self.ledger.fault(kind, kill=True)

    def hang_broker(self) -> None:
        node = self.world.stack.node(self.chance.choice(BROKERS))
        node.pause()
        self.struck.set()
        time.sleep(HANG_SECONDS)
        node.resume()
        self.ledger.fault("hanging broker")

    def restart_cluster(self) -> None:
        nodes = [self.world.stack.node(number) for number in BROKERS]
        for node in nodes:
            node.kill()
        self.ledger.fault("whole cluster killed", kill=True)
        self.ledger.sigkills += len(nodes) - 1

    def stop_broker(self) -> None:
        """A broker that hands its partitions over: an election of leaders under load."""
        self.world.stack.node(self.chance.choice(BROKERS)).stop()
        self.ledger.fault("broker stopped, leaders elected")

    def elect_leaders(self) -> None:
        """Back to the preferred ones, which are spread over the brokers."""
        with suppress(KafkaException):
            admin = self.world.admin()
            answers = admin.elect_leaders(ElectionType.PREFERRED).result(30)
            if any(error is None for error in answers.values()):
                self.ledger.fault("leaders elected")

    def kill_database(self) -> None:
        self.world.postgres.kill()
        self.ledger.fault("killed database", kill=True)

    def broker_errors(self) -> None:
        """Brokers answer every write with NOT_ENOUGH_REPLICAS: one of the three is stopped, and the topics want all.

        More than there are would not do: of a topic's ``min.insync.replicas`` Kafka counts no more than its copies.
        """
        self._set_in_sync("3")
        others = [number for number in BROKERS if number != controller_of(self.world)]
        self.world.stack.node(self.chance.choice(others)).stop()
        self.struck.set()
        time.sleep(self.chance.uniform(0.5, 1.5))
        self._set_in_sync("2")
        self.ledger.fault("brokers answering errors")

    def _set_in_sync(self, count: str) -> None:
        """Of all registers' topics; asked again while the cluster has no controller."""
        entry = ConfigEntry("min.insync.replicas", count, incremental_operation=AlterConfigOpType.SET)
        topics = [self.world.topic(register) for register in REGISTERS]
        resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics]
        deadline = time.monotonic() + IN_SYNC_SECONDS
        while True:
            try:
                admin = self.world.admin()
                for future in admin.incremental_alter_configs(resources, request_timeout=ASK_SECONDS).values():
                    future.result(30)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def fill_disk(self) -> None:
        """No file of the SQLite replica's, of the WAL in particular, takes any more."""
        keeper = self.keeper("sqlite")
        if keeper.child is not None and keeper.child.limit_files(FULL_BYTES):
            self.struck.set()
            time.sleep(self.chance.uniform(0.5, 1.5))
            keeper.child.limit_files(None)
            self.ledger.fault("replica's disk full")

    def fill_adapters_disk(self) -> None:
        """Counted by the keeper, when the run has met it."""
        keeper = self.keeper("file diff")
        assert isinstance(keeper, FileDiffKeeper)
        keeper.most_bytes = FULL_BYTES

    def expire_transaction(self) -> None:
        """The relay hangs in an open transaction until Kafka has ended that."""
        keeper = self.keeper("relay")
        began, tries = time.monotonic(), 0
        while not (keeper.child and keeper.child.frozen):
            if time.monotonic() > began + tries * FROZEN_SECONDS:  # one that was just starting was not told
                if tries == FROZEN_TRIES:
                    raise TimeoutError("the relay has not come to its open transaction")
                keeper.begin_anew("outbox.sent:1:STOP")
                tries += 1
            time.sleep(0.05)
        self.struck.set()
        time.sleep(OPEN_SECONDS)
        keeper.child.signal(signal.SIGCONT)
        self.ledger.fault("expired transaction")

    def take_registry_away(self) -> None:
        """A replica that begins meanwhile knows from its disk what it has ever heard."""
        wire = self.world.wires.all["registry"]
        wire.set("shut")
        wire.cut()
        if self.keeper("sqlite").kill():
            self.ledger.fault("killed replica-sqlite", kill=True)
        self.struck.set()
        time.sleep(self.chance.uniform(0.5, 2.0))
        wire.set("open")
        self.ledger.fault("registry away")

    def send_poison(self) -> None:
        """An event that nobody can decode, past our adapters, under a key that no source has."""
        self.poison += 1
        register = self.chance.choice(REGISTERS)
        with suppress(KafkaError, BusError):  # whether it arrived, the topic tells
            self.poisoned.append((register, *asyncio.run(_send(self.world, register, f"poison-{self.poison}"))))
            self.ledger.fault("poison event")

    def mend(self) -> None:
        """Every server runs, every wire is open; ``mended_at`` is when that was so."""
        self.world.wires.heal()
        self.world.postgres.start()
        self.mended_at = time.monotonic()
        nodes = [self.world.stack.node(number) for number in BROKERS]
        for node in nodes:
            node.launch()
        for node in nodes:
            node.wait_ready(set(BROKERS))

    def await_in_sync(self) -> None:
        """Until every partition has all its copies again, so that the next broker may die."""
        deadline = time.monotonic() + IN_SYNC_SECONDS
        while not _in_sync(self.world.admin()):
            if time.monotonic() > deadline:
                raise TimeoutError("copies of partitions are not in sync again")
            time.sleep(0.1)

    def keeper(self, name: str) -> Keeper:
        return next(each for each in self.keepers if name in each.name)


Act = Callable[[Saboteur], None]

SMALL: dict[Act, int] = {
    Saboteur.cut: 12,
    Saboteur.cut_all: 1,
    Saboteur.slow: 1,
    Saboteur.half_open: 1,
    Saboteur.shut: 2,
    Saboteur.kill_process: 3,
    Saboteur.freeze_process: 1,
    Saboteur.fill_disk: 1,
    Saboteur.fill_adapters_disk: 1,
    Saboteur.elect_leaders: 1,
    Saboteur.take_registry_away: 1,
    Saboteur.send_poison: 2,
}
"""By how often each is chosen."""

MANY: dict[Act, int] = {**SMALL, Saboteur.cut: 40, Saboteur.kill_process: 5}
"""For many faults in a short time."""

GREAT: tuple[tuple[str, Act], ...] = (
    ("broker killed", Saboteur.kill_broker),
    ("controller killed", Saboteur.kill_controller),
    ("database killed", Saboteur.kill_database),
    ("broker hangs", Saboteur.hang_broker),
    ("broker stopped", Saboteur.stop_broker),
    ("network away", Saboteur.cut_all),
    ("process frozen in a transaction", Saboteur.expire_transaction),
    ("replica's disk full", Saboteur.fill_disk),
    ("brokers answer errors", Saboteur.broker_errors),
    ("registry away", Saboteur.take_registry_away),
    ("whole cluster killed", Saboteur.restart_cluster),
)
"""Each is measured by itself: how long it takes until events flow again."""

AFTER_MENDING = {"database killed", "whole cluster killed"}
"""Nothing can flow before the server is back: measured from then on."""


def controller_of(world: World) -> int:
    admin = world.admin()
    return int(admin.describe_cluster().result(30).controller.id)


def _kind(wire: str) -> str:
    return wire.split("-", 1)[0]


def _in_sync(admin: AdminClient) -> bool:
    try:
        topics = admin.list_topics(timeout=10).topics.values()
    except KafkaException:
        return False
    partitions = [each for topic in topics for each in topic.partitions.values()]
    return all(each.leader >= 0 and set(each.isrs) == set(each.replicas) for each in partitions)


async def _send(world: World, register: str, key: str) -> tuple[int, int]:
    """Partition and offset."""
    async with clients.producer(world.settings) as producer:
        there = await producer.send_and_wait(world.topic(register), GARBAGE, key.encode())
    return there.partition, there.offset
