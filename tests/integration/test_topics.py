"""``lienthong topics`` and the checks of adapters and replicas against a real cluster."""

import asyncio
import json

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewTopic

from bus.catalog import load_catalog
from bus.cli import main
from bus.errors import BrokerUnavailable
from bus.names import TopicName
from bus.topics import check_partitions, describe
from bus.topics.cluster import create
from bus.topics.plan import dead_letter_topic, wanted


@pytest.fixture
def lienthong(kafka, topic_prefix, capsys, monkeypatch):
    """Runs a ``topics`` command against the session's cluster; gives exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(["topics", *arguments, "--kafka", kafka, "--prefix", topic_prefix])
        out, error = capsys.readouterr()
        return int(exited.value.code or 0), out, error

    return run


def test_apply_creates_what_plan_showed_and_then_nothing_is_left(lienthong):
    code, before, _ = lienthong("plan", "code.ward", "dossier.case", "--json")
    assert code == 0
    assert len(json.loads(before)["create"]) == 1 + len(load_catalog().agencies)
    assert lienthong("plan", "code.ward", "--detailed-exitcode")[0] == 2
    assert lienthong("apply", "code.ward", "dossier.case")[0] == 0
    code, after, _ = lienthong("plan", "code.ward", "dossier.case", "--detailed-exitcode")
    assert code == 0
    assert "No changes" in after


def test_dead_letter_topic_belongs_to_the_whole_catalogue(lienthong, kafka_admin: AdminClient, topic_prefix):
    name = f"{topic_prefix}.dead-letters"
    assert name not in lienthong("plan", "code.ward")[1]
    assert f"+ {name}: 1 partition" in lienthong("plan")[1]
    topic = dead_letter_topic(load_catalog(prefix=topic_prefix), brokers=1)
    asyncio.run(create(kafka_admin, [topic]))
    code, out, _ = lienthong("plan", "--json")
    assert code == 0
    told = json.loads(out)
    assert name not in {each["name"] for each in told["create"]}
    assert told["unchanged"] == 1


def test_altering_asks_first_and_then_does(lienthong, kafka_admin: AdminClient, topic_prefix):
    name = f"{topic_prefix}.code.ward"
    made = kafka_admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "delete"})])
    made[name].result()
    code, _, error = lienthong("apply", "code.ward")
    assert (code, "--yes" in error) == (5, True)
    assert "cleanup.policy: delete -> compact" in lienthong("plan", "code.ward")[1]
    assert lienthong("apply", "code.ward", "--yes")[0] == 0
    assert "No changes" in lienthong("plan", "code.ward")[1]


def test_wrong_partition_count_fails_apply_and_creates_the_rest(lienthong, kafka_admin: AdminClient, topic_prefix):
    kafka_admin.create_topics([NewTopic(f"{topic_prefix}.code.ward", 3, 1)])[f"{topic_prefix}.code.ward"].result()
    code, _, error = lienthong("apply", "code.ward", "code.country", "--yes")
    assert (code, "make a new generation" in error) == (7, True)
    assert "No changes" in lienthong("plan", "code.country")[1]


def test_unknown_register_is_one_line(lienthong):
    code, out, error = lienthong("plan", "code.wards")
    assert (code, out, error.count("\n")) == (3, "", 1)


def test_no_broker_is_one_line_that_names_the_address(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["topics", "plan", "--kafka", "127.0.0.1:1"])
    error = capsys.readouterr().err
    assert exited.value.code == 4
    assert "127.0.0.1:1" in error
    assert error.count("\n") == 1


async def test_described_topics_are_checked_against_the_catalogue(kafka_admin: AdminClient, topic_prefix):
    register = load_catalog(prefix=topic_prefix).register("code.ward")
    name = TopicName(f"{topic_prefix}.code.ward")
    assert (await describe(kafka_admin, [name]))[name].missing
    await create(kafka_admin, [wanted(name, register.partitions, register.topic_config, brokers=1)])
    facts = await describe(kafka_admin, [name])
    check_partitions(register, facts)
    assert facts[name].topic_id


async def test_topic_made_again_has_another_id(kafka_admin: AdminClient, topic_prefix):
    topic = wanted(TopicName(f"{topic_prefix}.again"), 1, {}, brokers=1)
    await create(kafka_admin, [topic])
    first = (await describe(kafka_admin, [topic.name]))[topic.name].topic_id
    kafka_admin.delete_topics([topic.name])[topic.name].result()
    await create(kafka_admin, [topic])
    assert (await describe(kafka_admin, [topic.name]))[topic.name].topic_id != first


async def test_created_topic_takes_records_at_once_and_creating_twice_is_fine(kafka, kafka_admin, topic_prefix):
    topic = wanted(TopicName(f"{topic_prefix}.new"), 3, {}, brokers=1)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await create(kafka_admin, [topic])
        await create(kafka_admin, [topic])
        for partition in range(3):
            sent = await producer.send_and_wait(topic.name, b"x", partition=partition)
            assert sent.offset == 0


async def test_describing_without_a_broker_says_so():
    admin = AdminClient({"bootstrap.servers": "127.0.0.1:1", "socket.timeout.ms": 500, "log_level": 0})
    with pytest.raises(BrokerUnavailable):
        await describe(admin, [TopicName("a")])
