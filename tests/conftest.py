import os
import secrets
from collections.abc import Iterator

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from psycopg import sql

from bus.local.layout import new_layout
from bus.local.postgres import PostgresNode
from tests.stack import docker_wanted, local_kafka, stack_directory


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap servers of the session's cluster: a given one, a container, or one local broker."""
    given = os.environ.get("LIENTHONG_TEST_KAFKA")
    if given:
        yield given
    elif docker_wanted():
        from testcontainers.kafka import KafkaContainer  # noqa: PLC0415 - only where Docker is

        with KafkaContainer().with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        with local_kafka() as stack:
            servers = stack.status().bootstrap_servers
            assert servers
            yield servers


@pytest.fixture(scope="session")
def kafka_admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka, "log_level": 0})


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of the session's PostgreSQL server, as its superuser."""
    with stack_directory() as directory:
        port = new_layout(1, postgres=True, first_port=None).postgres_port
        assert port
        node = PostgresNode(port, directory / "postgres")
        try:
            node.start()
            yield node.url
        finally:
            node.stop()


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """URL of a database of this test's own."""
    name = f"t{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test's topics have."""
    return f"t{secrets.token_hex(4)}"
