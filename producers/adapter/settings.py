"""``adapter.toml``: what one agency's adapter is, for looking it over and, with exports, for running it."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from bus.codes import CodesFrom
from bus.errors import ConfigInvalid
from bus.settings import KafkaSettings, RegistrySettings, load_toml
from bus.toml import parse_toml
from producers.inbox.settings import InboxSettings

Kind = Literal["file", "outbox", "capture"]
KINDS: tuple[Kind, ...] = ("file", "outbox", "capture")


class DatabaseAdapter(CodesFrom):
    """An adapter that sends what lies in an outbox, whether programs or triggers put it there."""

    kind: Literal["outbox", "capture"]
    agency: str
    registers: tuple[str, ...] = Field(min_length=1)
    cluster: Path | None = None
    """TOML file with [kafka] and [registry], as ``--cluster`` takes it."""
    catalog: Path | None = None
    prefix: str | None = None
    schemas: Path | None = None
    mapping: Path | None = None
    """With capture: how the table's columns make the register's fields."""
    table: str | None = None
    """With capture: the agency's own table."""
    url: SecretStr | None = None
    """Of the database; better in the environment, as LIENTHONG_OUTBOX_URL."""


class Bus(CodesFrom):
    """Where an adapter of any kind meets the bus."""

    agency: str
    kafka: KafkaSettings
    registry: RegistrySettings
    catalog: Path | None
    prefix: str | None
    schemas: Path | None


def load_adapter(path: Path) -> InboxSettings | DatabaseAdapter:
    """Raises ConfigInvalid with file, key and what was expected."""
    if _kind(path) == "file":
        return load_toml(path, InboxSettings)
    return load_toml(path, DatabaseAdapter)


def _kind(path: Path) -> str:
    try:
        kind = parse_toml(path.read_text("utf-8")).get("kind", "file")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return "file"  # told when it is loaded
    if kind not in KINDS:
        raise ConfigInvalid(f"{path}: kind: expected one of {', '.join(KINDS)}")
    return str(kind)
