"""A daemon of a group that is cut off, or frozen at the worst moment: the others take over, and it harms nothing.

Half a minute each, so that `make soak-replicas` runs them and the test command does not.
"""

import asyncio
import signal
from itertools import cycle

import psycopg
import pytest

from bus.local.layout import BrokerPorts
from bus.local.ports import LOOPBACK, free_ports
from tests.consuming import Feed, replica_settings
from tests.fault.suite.wires import Wires
from tests.fault.test_replica_group import PARTITIONS, SESSION, all_came_once, load_on, lowest
from tests.producing import IDENTITY, prepare
from tests.replicas import noticed, owners, replica_daemons
from tests.stack import local_kafka

INSIDE = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'lienthong'
AND wait_event = 'ClientRead' AND clock_timestamp() - xact_start > interval '0.3 s'
"""


@pytest.fixture
def daemons(tmp_path):
    with replica_daemons(tmp_path) as daemons:
        yield daemons


@pytest.fixture
def settings(topic_prefix, postgres_database):
    """The replica's, for a cluster and a database at these addresses."""

    def made(kafka, database=postgres_database):
        return replica_settings(kafka, topic_prefix, database, [IDENTITY], group=True, session_seconds=SESSION)

    return made


async def shared(database, *daemons):
    """Until each has its half."""
    await noticed(lambda: owners(database) == {each.pid: PARTITIONS // len(daemons) for each in daemons})


async def test_daemon_cut_off_from_everything_is_replaced_and_refused_when_the_network_is_back(
    daemons, settings, topic_prefix, postgres_database
):
    inner, outer, to_database = free_ports(3)
    port = int(postgres_database.rsplit(":", 1)[1].split("/")[0])

    def wired(node: BrokerPorts) -> dict[str, str]:
        plain, control = f"CLIENT://{LOOPBACK}:{node.port}", f"CONTROLLER://{LOOPBACK}:{node.controller_port}"
        return {
            "listeners": f"{plain},{control},WIRED://{LOOPBACK}:{inner}",
            "advertised.listeners": f"{plain},WIRED://{LOOPBACK}:{outer}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,WIRED:PLAINTEXT",
        }

    with Wires() as wires, local_kafka(1, wired) as stack:
        wires.lay("kafka", outer, inner)
        wires.lay("database", to_database, port)
        kafka = str(stack.status().bootstrap_servers)
        await prepare(kafka, topic_prefix)
        near = settings(kafka)
        far = settings(f"{LOOPBACK}:{outer}", postgres_database.replace(f":{port}/", f":{to_database}/"))
        async with load_on(Feed(kafka, topic_prefix)) as load:
            cut, other = daemons.start(far), daemons.start(near)
            await shared(postgres_database, cut, other)
            for wire in wires.all.values():
                wire.set("stuck")
            await shared(postgres_database, other)
            before = load.rounds
            await noticed(lambda: lowest(near) > before)
            wires.heal()
            await shared(postgres_database, cut, other)
            await cut.ready()
        await all_came_once(near, load)


async def test_daemon_frozen_inside_a_transaction_holds_up_its_successor_no_longer_than_a_lock_may_take(
    kafka, daemons, settings, topic_prefix, postgres_database
):
    await prepare(kafka, topic_prefix)
    async with load_on(Feed(kafka, topic_prefix)) as load:
        frozen, other = daemons.start(settings(kafka)), daemons.start(settings(kafka))
        await shared(postgres_database, frozen, other)
        await freeze_inside(frozen, postgres_database)
        await shared(postgres_database, other)
        frozen.child.signal(signal.SIGCONT)
        await shared(postgres_database, frozen, other)
        await frozen.ready()
    await all_came_once(settings(kafka), load)


async def freeze_inside(daemon, database):
    """Freeze it until it is found waiting with a transaction open."""
    with psycopg.connect(database, autocommit=True) as server:
        for pause in cycle(number / 1000 for number in range(1, 50, 7)):
            daemon.child.signal(signal.SIGSTOP)
            await asyncio.sleep(0.4)
            if server.execute(INSIDE).fetchone():
                return
            daemon.child.signal(signal.SIGCONT)
            await asyncio.sleep(pause)
