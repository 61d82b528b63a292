"""The code in docs/outbox.md, run as it stands, on a PostgreSQL and a Kafka of the tests'."""

import asyncio
import re
import shlex
from pathlib import Path

import psycopg
import pytest
from django.conf import settings as django_settings
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from bus.cli.app import app
from bus.event import Op
from tests.outbox import installed, relay_all
from tests.producing import events, prepare, registry_settings

PAGE = (Path(__file__).parents[2] / "docs" / "outbox.md").read_text(encoding="utf-8")
ADDRESS = "agency@127.0.0.1:5432/agency"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def django(postgres_database):
    import django  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    url = make_url(postgres_database)
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": url.database, "USER": url.username}
    database |= {"HOST": url.host, "PORT": url.port}
    if not django_settings.configured:
        django_settings.configure(DATABASES={"default": database}, USE_TZ=True)
        django.setup()
    yield
    connections.close_all()


def test_every_code_block_runs_and_what_it_enqueues_is_sent(kafka, topic_prefix, postgres_database, django):
    asyncio.run(prepare(kafka, topic_prefix))
    installed(postgres_database).dispose()
    there = postgres_database.removeprefix("postgresql://")
    given = {
        "kafka": f"{{'bootstrap_servers': {kafka!r}}}",
        "prefix": repr(topic_prefix),
        "registry": f"{{'topic': {registry_settings(topic_prefix).topic!r}}}",
    }
    told = ", ".join(f"{name}={value}" for name, value in given.items())
    space: dict[str, object] = {}
    for block in blocks("python"):
        code = block.replace(ADDRESS, there).replace("OutboxSettings(", f"OutboxSettings({told}, ")
        exec(compile(code, "docs/outbox.md", "exec"), space)  # noqa: S102
    space["engine"].dispose()
    with psycopg.connect(postgres_database) as connection:
        for block in blocks("sql"):
            connection.execute(block)
    relay_all(kafka, topic_prefix, postgres_database)
    found = asyncio.run(events(kafka, topic_prefix))
    assert [event.op for event in found if event.key == "079085000001"] == [Op.UPSERT] * 3
    assert {event.key[-1]: event.op for event in found} == {
        "1": Op.UPSERT,
        "2": Op.MERGE,
        "3": Op.DELETE,
        "4": Op.UPSERT,
    }


def test_parked_rows_are_listed_and_retried_as_written(postgres_database):
    engine = installed(postgres_database)
    with engine.begin() as connection:
        for number, reason in enumerate(("sex: codes: expected male", "payload: expected JSON in UTF-8")):
            put = "INSERT INTO lienthong_outbox (id, aggregatetype, aggregateid, type, payload, parked) VALUES "
            row = f"(gen_random_uuid(), 'resident.identity', '07908500000{number}', 'UPSERT', '{{}}', '{reason}')"
            connection.exec_driver_sql(put + row)
    engine.dispose()
    [block] = blocks("console")
    printed = []
    for line in block.replace(ADDRESS, postgres_database.removeprefix("postgresql://")).splitlines():
        program, *words = shlex.split(line, comments=True)
        done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
        assert (program, done.exit_code) == ("lienthong", 0), done.output
        printed.append(done.stdout)
    assert "sex: codes" in printed[0]
    assert "079085" not in printed[0]
    assert printed[1] == "1 to be taken again, 0 superseded, 0 left parked\n"


def test_every_column_of_the_table_is_explained():
    told = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("## The table") : PAGE.index("## The relay")]))
    from producers.outbox.table import tables  # noqa: PLC0415

    assert {column.name for column in tables("postgresql").outbox.columns} <= told
