"""What a relay is told, and whoever else sends out of an agency's database one at a time."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from bus.codes import CodesFrom
from bus.fencing import MOST_SHARDS
from bus.settings import KafkaSettings, RegistrySettings


class TurnSettings(CodesFrom):
    """One of several that send a register out of one database, each in its turn."""

    url: SecretStr
    agency: str
    register_name: str
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    catalog: Path | None = None
    prefix: str | None = None
    schemas: Path | None = None
    lease_seconds: float = Field(default=10, gt=0)
    """Whoever has not been heard of for so long is taken over."""
    drain_seconds: float = Field(default=10, gt=0)
    compression: Literal["lz4", "zstd", "snappy", "gzip", "none"] = "lz4"


class RelaySettings(TurnSettings):
    """One relay of one register: which outbox, which topic, which share of the keys."""

    shard: int = Field(default=0, ge=0)
    shards: int = Field(default=1, ge=1, le=MOST_SHARDS)
    keep: timedelta = timedelta(days=7)
    """How long a sent row stays; with 0 it is deleted instead of marked."""
    transaction_rows: int = Field(default=20_000, ge=1)
    transaction_bytes: int = Field(default=32 * 1024 * 1024, ge=1)
    """Of payloads; bounds memory at about four times as much."""
    poll_seconds: float = Field(default=0.5, gt=0)
    """Longest sleep between two looks where the database cannot wake us; ten times as long where it can."""

    @model_validator(mode="after")
    def _shard_is_one_of_them(self) -> "RelaySettings":
        if self.shard >= self.shards:
            raise ValueError("a shard is written k/n with k from 0 to n-1, such as 0/2 and 1/2")
        return self
