import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil
import psycopg
import pytest
import stamina
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from bus.errors import ConfigInvalid, PathUnwritable, PortTaken, Unavailable
from bus.local.ports import free_ports
from bus.local.stack import LocalStack
from tests.stack import cache, local_kafka, stack_directory

CLI = [sys.executable, "-c", "from bus.cli import main; main()", "local"]


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, check=False, timeout=120)


def make_topic(servers: str, name: str, copies: int = 1) -> None:
    """A killed controller is missed after its session, and a client that was told of it before asks no other: ask anew."""
    for attempt in stamina.retry_context(on=KafkaException, attempts=4, wait_initial=0.1):
        with attempt:
            client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
            client.create_topics([NewTopic(name, 1, copies)], request_timeout=15)[name].result(20)


def topics(servers: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": servers, "log_level": 0}).list_topics(timeout=10).topics)


def make_stack(directory, **wish) -> LocalStack:
    return LocalStack(directory, cache=cache(), **wish)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """One broker and PostgreSQL, in a folder whose name Java and property files have to be told with care."""
    with stack_directory() as directory:
        stack = make_stack(directory / "dữ liệu thử", postgres=True)
        try:
            stack.up()
            yield stack
        finally:
            stack.down()


async def test_fixtures_give_servers_that_answer(kafka, kafka_admin, postgres_database, topic_prefix):
    make_topic(kafka, f"{topic_prefix}.first")
    assert f"{topic_prefix}.first" in kafka_admin.list_topics(timeout=10).topics
    async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
        cursor = await connection.execute("SELECT lower('ĐẶNG'), current_setting('server_encoding')")
        assert await cursor.fetchone() == ("đặng", "UTF8")


def test_second_up_keeps_the_running_servers(stack):
    before = stack.status()
    assert before.running
    assert stack.up() == before


def test_ups_at_the_same_time_start_one_stack(stack):
    stack.down()
    directory = str(stack.directory)
    starts = [
        subprocess.Popen([*CLI, "up", "--dir", directory, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    first, second = (json.loads(start.communicate(timeout=120)[0]) for start in starts)
    assert first == second
    assert first["running"]


def test_data_and_addresses_survive_down_and_up(stack):
    before = stack.up()
    make_topic(before.bootstrap_servers, "kept")
    with psycopg.connect(before.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")

    assert stack.down()
    assert {node.state for node in stack.status().nodes} == {"stopped"}
    after = stack.up()

    assert (after.bootstrap_servers, after.postgres_url) == (before.bootstrap_servers, before.postgres_url)
    assert "kept" in topics(after.bootstrap_servers)
    with psycopg.connect(after.postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_servers_that_were_killed_start_again(stack):
    status = stack.up()
    make_topic(status.bootstrap_servers, "written-before-the-crash")
    stack.node(1).kill()
    stack.database.kill()
    assert {node.state for node in stack.status().nodes} == {"stopped"}

    assert stack.up().running
    assert "written-before-the-crash" in topics(status.bootstrap_servers)


def test_paused_node_is_shown_and_goes_on(stack):
    stack.up()
    stack.node(1).pause()
    stack.database.pause()
    assert {node.state for node in stack.status().nodes} == {"paused"}

    stack.node(1).resume()
    stack.database.resume()
    assert stack.status().running
    stack.node(1).pause()
    stack.database.pause()
    assert stack.up().running


def test_running_brokers_are_not_moved(stack):
    stack.up()
    with pytest.raises(ConfigInvalid, match="lienthong local down"):
        make_stack(stack.directory, port=free_ports(1)[0]).up()


def test_other_number_of_brokers_is_refused_with_the_data_left_alone(stack):
    with pytest.raises(ConfigInvalid, match="--fresh"):
        make_stack(stack.directory, brokers=3).up()
    assert len(stack.status().nodes) == 2


def test_command_line_tells_addresses_state_and_stop(stack):
    directory = ("--dir", str(stack.directory))
    up = cli("up", *directory)
    assert stack.status().bootstrap_servers in up.stdout
    assert stack.status().postgres_url in up.stdout
    assert [node["state"] for node in json.loads(cli("status", *directory, "--json").stdout)["nodes"]] == [
        "running"
    ] * 2
    assert "kafka-1" in cli("status", *directory).stdout
    assert cli("down", *directory).stdout == "stopped\n"
    assert cli("down", *directory).stdout == "nothing was running\n"


def test_fresh_erases_the_stack_and_nothing_else(stack):
    servers = stack.up().bootstrap_servers
    make_topic(servers, "old")
    neighbour = stack.directory / "notes.txt"
    neighbour.write_text("mine")

    renewed = make_stack(stack.directory).up(fresh=True)

    assert "old" not in topics(renewed.bootstrap_servers)
    assert renewed.postgres_url is None
    assert neighbour.read_text() == "mine"


def test_cluster_whose_id_begins_with_a_dash_starts(monkeypatch):
    monkeypatch.setattr("bus.local.layout.uuid.uuid4", lambda: uuid.UUID(bytes=b"\xf8" * 16))
    with stack_directory() as directory:
        stack = make_stack(directory)
        try:
            servers = stack.up().bootstrap_servers
            assert json.loads((directory / "stack.json").read_text())["cluster_id"].startswith("-")
            assert topics(servers) == set()
        finally:
            stack.down()


def test_taken_port_is_named_with_a_remedy(tmp_path):
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port}.*--port"):
            make_stack(tmp_path, port=port).up()


def test_directory_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PathUnwritable, match="file"):
        make_stack(tmp_path / "file" / "stack").up()
    refused = cli("up", "--dir", str(tmp_path / "file" / "stack"))
    assert refused.returncode == PathUnwritable.exit_code
    assert len(refused.stderr.splitlines()) == 1


def test_broker_that_dies_shows_the_end_of_its_log():
    with stack_directory() as directory:
        stack = make_stack(directory, settings={"metric.reporters": "example.MissingReporter"})
        with pytest.raises(Unavailable, match="MissingReporter"):
            stack.up()


def test_servers_of_a_killed_test_process_are_stopped():
    script = (
        "import sys\n"
        "from tests.stack import local_postgres\n"
        "with local_postgres() as node:\n"
        "    print(node.process.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        server = psutil.Process(int(tests.stdout.readline()))
        os.kill(tests.pid, signal.SIGKILL)
    psutil.wait_procs([server], timeout=30)
    assert not server.is_running()


@pytest.mark.timeout(120)  # 15 s on a quiet machine
def test_three_brokers_keep_working_when_one_is_killed():
    with local_kafka(brokers=3) as stack:
        servers = stack.status().bootstrap_servers
        make_topic(servers, "three", copies=3)
        stack.node(2).kill()
        assert [node.state for node in stack.status().nodes] == ["running", "stopped", "running"]
        make_topic(stack.node(1).bootstrap_servers, "two", copies=2)
        stack.node(2).start()
        assert stack.status().running
        assert {"three", "two"} <= topics(stack.node(2).bootstrap_servers)
