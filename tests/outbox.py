"""What tests of the outbox need: an outbox, relays in and out of this process, and a look at what came of it."""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine, text

from bus.event import Event
from bus.settings import KafkaSettings
from producers.outbox import Outbox, OutboxSettings
from producers.outbox.database import engine_for
from producers.outbox.install import install
from producers.outbox.relay.relay import Relay
from producers.outbox.relay.settings import RelaySettings
from tests.producing import IDENTITY, POLICE, registry_settings

LIENTHONG = str(Path(sys.executable).with_name("lienthong"))


def outbox(kafka: str, prefix: str, **more: Any) -> Outbox:
    settings = {"agency": POLICE, "kafka": KafkaSettings(bootstrap_servers=kafka), "prefix": prefix}
    return Outbox(OutboxSettings(**settings | {"registry": registry_settings(prefix)} | more))


def installed(url: str) -> Any:
    """The database's engine, the tables made."""
    engine = engine_for(url)
    install(engine)
    return engine


def relay_settings(kafka: str, prefix: str, url: str, **more: Any) -> RelaySettings:
    settings = {"agency": POLICE, "register_name": IDENTITY, "kafka": KafkaSettings(bootstrap_servers=kafka)}
    settings |= {"registry": registry_settings(prefix), "prefix": prefix, "url": SecretStr(url), "lease_seconds": 1}
    return RelaySettings(**settings | more)


def relay_all(kafka: str, prefix: str, url: str, **more: Any) -> None:
    """Relay until no row waits."""
    Relay(relay_settings(kafka, prefix, url, **more)).run(until_empty=True)


def command(kafka: str, prefix: str, url: str, *more: str) -> list[str]:
    return [
        *(LIENTHONG, "outbox", "relay", "--url", url, "--agency", POLICE, "--register", IDENTITY, "--kafka", kafka),
        *("--prefix", prefix, "--registry", registry_settings(prefix).topic, "--lease", "1", *more),
    ]


def started(asked: list[str], crash_at: str = "", **options: Any) -> "subprocess.Popen[str]":
    """A relay process, which may be told where to die."""
    armed = os.environ | {"LIENTHONG_CRASH_AT": crash_at}
    return subprocess.Popen(asked, env=armed, stderr=subprocess.PIPE, text=True, **options)


def until_said(stream: Iterable[str] | None, words: str) -> None:
    """Until a process has logged it, or ended."""
    next((line for line in stream or () if words in line), None)


def kill_relay(process: "subprocess.Popen[str]", log: Iterable[str] | None, engine: Engine, chance: Random) -> None:
    """SIGKILL at random: half of the times from its taking over on, else once it has marked its first rows."""
    before = sent(engine)
    until_said(log, "outbox_relay_took_over")
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, 0.5))
    else:
        while sent(engine) == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
    process.kill()


def sent(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(sent_at) FROM lienthong_outbox")).scalar_one())


def in_version_order(found: list[Event]) -> bool:
    """Whether each key's events stand in the topic in version order, none twice."""
    versions = defaultdict(list)
    for event in found:
        versions[event.key].append(event.version)
    return all(each == sorted(set(each)) for each in versions.values())
