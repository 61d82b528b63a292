"""The world: three brokers, PostgreSQL, the wires to them, topics, tables, and what our processes are told."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from confluent_kafka.admin import AdminClient

from bus import kafka as clients
from bus.catalog import Catalog, load_catalog
from bus.local.layout import BrokerPorts
from bus.local.ports import LOOPBACK, free_ports
from bus.local.postgres import PostgresNode
from bus.local.stack import LocalStack
from bus.registry import open_registry
from bus.registry.base import Registered
from bus.schema.avsc import load_register
from bus.settings import KafkaSettings
from bus.topics.cluster import create
from bus.topics.plan import dead_letter_topic, wanted_topics
from producers.outbox.database import engine_for
from producers.outbox.install import install
from tests.fault.suite.nursery import Nursery
from tests.fault.suite.registry import RegistryServer
from tests.fault.suite.source import TABLES
from tests.fault.suite.wires import Wires
from tests.producing import IDENTITY, POLICE, RESIDENCE, registry_settings
from tests.stack import local_kafka, local_postgres

CIVIL = "resident.civil_status"
JUSTICE = "H29.3"
REGISTERS = (IDENTITY, RESIDENCE, CIVIL)
WRITERS = {IDENTITY: POLICE, RESIDENCE: POLICE, CIVIL: JUSTICE}
PREFIX = "city"
BROKERS = (1, 2, 3)
PARTITIONS = 3  # one leader on each broker, so that each broker's death is felt

REPLICA = """\
[replica]
agency = "H29.4"
name = "{name}"
database = "{database}"
registers = {registers}
catalog = "{catalog}"
[kafka]
bootstrap_servers = "{kafka}"
[registry]
{registry}
cache_dir = "{cache}"
[metrics]
port = 0
"""


@dataclass(frozen=True, slots=True)
class ReplicaPlace:
    """One replica: its configuration, and its database as the judge reads it, without a wire between."""

    name: str
    config: Path
    database: str


class World:
    """Everything there is. ``kafka`` leads through the wires, ``truth`` and ``direct`` do not."""

    def __init__(self, directory: Path, stack: LocalStack, postgres: PostgresNode, wires: Wires, nursery: Nursery):
        self.directory, self.stack, self.postgres, self.wires, self.nursery = directory, stack, postgres, wires, nursery
        self.kafka = ",".join(f"{LOOPBACK}:{wires.all[f'broker-{number}'].port}" for number in BROKERS)
        self.direct = str(stack.status().bootstrap_servers)
        self.truth = postgres.url
        self.catalog_file = directory / "catalog.toml"

    @cached_property
    def catalog(self) -> Catalog:
        return load_catalog(self.catalog_file)

    def admin(self) -> AdminClient:
        """A new one, since one that has seen a controller die may ask it for ever. Hold it until it has answered."""
        return clients.admin(self.settings)

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.direct)

    @property
    def wired_database(self) -> str:
        return self.truth.replace(f":{self.postgres.port}/", f":{self.wires.all['postgres'].port}/")

    def topic(self, register: str) -> str:
        return self.catalog.register(register).topic(WRITERS[register])

    def replica(self, name: str, kind: str) -> ReplicaPlace:
        """A new replica's place; ``kind`` is sqlite or postgresql."""
        if kind == "sqlite":
            database = wired = f"sqlite:///{self.directory}/{name}.db"
        else:
            database, wired = (f"{url.rsplit('/', 1)[0]}/{name}" for url in (self.truth, self.wired_database))
        config = self.directory / f"{name}.toml"
        config.write_text(
            REPLICA.format(
                name=name,
                database=wired,
                registers=json.dumps(REGISTERS),
                catalog=self.catalog_file,
                kafka=self.kafka,
                registry=self._registry(kind),
                cache=self.directory / f"{name}-ids",
            ),
            encoding="utf-8",
        )
        return ReplicaPlace(name, config, database)

    def _registry(self, kind: str) -> str:
        """The replica in a file asks over HTTP, the others read the topic."""
        port = self.wires.all["registry"].port
        return (
            f'url = "http://{LOOPBACK}:{port}"' if kind == "sqlite" else f'topic = "{registry_settings(PREFIX).topic}"'
        )

    def command(self, *words: str, register: str) -> list[str]:
        """A ``lienthong`` command for this world."""
        return [
            *("lienthong", *words, "--agency", WRITERS[register], "--kafka", self.kafka, "--prefix", PREFIX),
            *("--registry", registry_settings(PREFIX).topic, "--catalog", str(self.catalog_file)),
        ]


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Everything started and empty; stopped and erased afterwards, but for what lies in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    inner, outer = (dict(zip(BROKERS, free_ports(3), strict=True)) for _ in range(2))
    with ExitStack() as stack:
        wires = stack.enter_context(Wires())
        postgres = stack.enter_context(local_postgres())
        cluster = stack.enter_context(local_kafka(len(BROKERS), lambda node: _wired(node, inner, outer)))
        for number in BROKERS:
            wires.lay(f"broker-{number}", outer[number], inner[number])
        wires.lay("postgres", free_ports(1)[0], postgres.port)
        nursery = stack.enter_context(Nursery(directory / "processes.log"))
        made = World(directory, cluster, postgres, wires, nursery)
        _write_catalog(made.catalog_file)
        registry = stack.enter_context(RegistryServer(asyncio.run(_make_topics(made))))
        wires.lay("registry", free_ports(1)[0], registry.port)
        _make_tables(made)
        yield made


def _wired(node: BrokerPorts, inner: Mapping[int, int], outer: Mapping[int, int]) -> dict[str, str]:
    """A second listener, for our processes, whose advertised port is the wire's."""
    plain, control = f"CLIENT://{LOOPBACK}:{node.port}", f"CONTROLLER://{LOOPBACK}:{node.controller_port}"
    return {
        "listeners": f"{plain},{control},WIRED://{LOOPBACK}:{inner[node.node_id]}",
        "advertised.listeners": f"{plain},WIRED://{LOOPBACK}:{outer[node.node_id]}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,WIRED:PLAINTEXT",
    }


def _write_catalog(path: Path) -> None:
    shipped = (files("bus") / "schemas" / "catalog.toml").read_text(encoding="utf-8")
    path.write_text(shipped.replace("partitions = 12 ", f"partitions = {PARTITIONS} "), encoding="utf-8")


async def _make_topics(made: World) -> list[Registered]:
    """The topics, and the schemas that were released."""
    chosen = [made.catalog.register(name) for name in REGISTERS]
    topics = [*wanted_topics(made.catalog, chosen, len(BROKERS)), dead_letter_topic(made.catalog, len(BROKERS))]
    await create(made.admin(), topics)
    async with open_registry(registry_settings(PREFIX), made.settings) as registry:
        return [
            await registry.publish(register.avro_subject, schema.text)
            for register in chosen
            for schema in load_register(register.name)
        ]


def _make_tables(made: World) -> None:
    engine = engine_for(made.truth)
    install(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLES)
    engine.dispose()
