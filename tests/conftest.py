import os

os.environ["COLUMNS"] = "200"  # tables as on a wide terminal, wherever the tests run

import secrets
from collections.abc import Generator, Iterator
from typing import Any

import psycopg
import pytest
import structlog
from confluent_kafka.admin import AdminClient
from hypothesis import HealthCheck, settings
from psycopg import sql

from tests.apicurio import apicurio
from tests.stack import docker_wanted, local_kafka, local_postgres

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # a busy machine is no failure


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="count every skipped test as failed, for a machine that has everything"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _strict(item.config, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _strict(collector.config, (yield))


def _strict(config: pytest.Config, report: Any) -> Any:
    """Turn a skip into a failure under ``--no-skips``; an expected failure stays what it is."""
    if config.getoption("--no-skips") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under --no-skips: {report.longreprtext}"
    return report


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command run within a test sets up logging for a process that is to end with it."""
    yield
    structlog.reset_defaults()


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
def apicurio_url() -> Iterator[str]:
    """URL of the session's Apicurio Registry, Confluent's API."""
    with apicurio() as url:
        yield url


@pytest.fixture(scope="session")
def kafka_admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka, "log_level": 0})


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of the session's PostgreSQL server, as a superuser: a given one, a container, or a local one."""
    given = os.environ.get("LIENTHONG_TEST_POSTGRES")
    if given:
        yield given
    elif docker_wanted():
        from testcontainers.postgres import PostgresContainer  # noqa: PLC0415 - only where Docker is

        with PostgresContainer("postgres:18", driver=None) as container:
            yield container.get_connection_url()
    else:
        with local_postgres() as node:
            yield node.url


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
