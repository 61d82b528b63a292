"""What tests of capture need: a table of an agency's, a mapping of it, and a look at what came of its rows."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from bus.catalog import load_catalog
from bus.event import Op
from bus.schema import load_register
from bus.settings import KafkaSettings
from producers.capture.follow.follower import Follower
from producers.capture.follow.settings import FollowSettings
from producers.capture.install import Ask, captures, install, table_of
from producers.capture.snapshot import ROWS, snapshot
from producers.mapping import Mapping
from producers.outbox.database import engine_for
from tests.outbox import LIENTHONG, in_version_order
from tests.producing import IDENTITY, POLICE, events, registry_settings

MAPPING = Path(__file__).parents[1] / "docs" / "examples" / "persons.toml"
TABLE = """\
CREATE TABLE persons (
  id int PRIMARY KEY, cccd text UNIQUE, ho text, ten text NOT NULL, ngay_sinh date, gioi_tinh smallint, ghi_chu text
)"""


def ask(prefix: str = "city", **more: Any) -> Ask:
    catalog = load_catalog(prefix=prefix)
    schema = load_register(IDENTITY)[-1]
    given = {"table": "persons", "register": catalog.register(IDENTITY), "agency": catalog.agency(POLICE)}
    return Ask(**given | {"mapping": Mapping.load(MAPPING, schema)} | more)


def made(url: str, prefix: str = "city", rows: int = 0, **more: Any) -> None:
    """The table with so many people, and its capture."""
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
        people(connection, range(1, rows + 1))
    engine = engine_for(url)
    install(engine, ask(prefix, **more))
    engine.dispose()


def made_again(url: str, prefix: str) -> None:
    """The slot, where it was lost."""
    engine = engine_for(url)
    install(engine, ask(prefix, way="log"))
    engine.dispose()


def people(connection: "psycopg.Connection[Any]", numbers: range) -> None:
    connection.execute(
        "INSERT INTO persons SELECT n, '079085' || lpad(n::text, 6, '0'), 'Nguyễn Văn', 'Mẫu', '1985-03-12', 1 "
        "FROM generate_series(%s::int, %s::int) AS s (n)",
        (numbers.start, numbers.stop - 1),
    )


def take(url: str, prefix: str, rows: int = ROWS) -> tuple[int, int]:
    engine, catalog = engine_for(url), load_catalog(prefix=prefix)
    capture = captures(engine, "persons", "triggers")[0]
    source = table_of(engine, capture, catalog, load_register(IDENTITY)[-1])
    try:
        return snapshot(engine, capture, source, lambda _read, _put: None, rows)
    finally:
        engine.dispose()


def table(url: str) -> dict[str, str]:
    """Full name by key, as the table has it."""
    with psycopg.connect(url) as connection:
        query = "SELECT replace(cccd, ' ', ''), ho || ' ' || ten FROM persons WHERE cccd IS NOT NULL"
        return dict(connection.execute(query).fetchall())  # type: ignore[arg-type]


def topic(kafka: str, prefix: str) -> tuple[dict[str, str], list[Any]]:
    """Full name by key, as the topic ends with it, and all events; in version order, each id once."""
    found = asyncio.run(events(kafka, prefix))
    assert in_version_order(found)
    assert len({event.event_id for event in found}) == len(found)
    last = {event.key: event for event in found}
    return {key: event.state["full_name"] for key, event in last.items() if event.op is Op.UPSERT}, found


def follow_settings(kafka: str, prefix: str, url: str, **more: Any) -> FollowSettings:
    settings = {"table": "persons", "agency": POLICE, "register_name": IDENTITY, "url": SecretStr(url)}
    settings |= {"kafka": KafkaSettings(bootstrap_servers=kafka), "registry": registry_settings(prefix)}
    return FollowSettings(**settings | {"prefix": prefix, "lease_seconds": 1} | more)


def follow_command(kafka: str, prefix: str, url: str, *more: str) -> list[str]:
    return [
        *(LIENTHONG, "capture", "run", "--url", url, "--table", "persons", "--agency", POLICE, "--register", IDENTITY),
        *("--kafka", kafka, "--prefix", prefix, "--registry", registry_settings(prefix).topic, *more),
    ]


def follow_all(kafka: str, prefix: str, url: str, **more: Any) -> None:
    """Follow until what is committed now is sent."""
    Follower(follow_settings(kafka, prefix, url, **more)).run(until_current=True)
