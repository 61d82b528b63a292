"""What a follower of the log is told."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from bus.codes import CodesFrom
from bus.settings import KafkaSettings, RegistrySettings


class FollowSettings(CodesFrom):
    """One follower of one table for one register."""

    url: SecretStr
    table: str
    agency: str
    register_name: str
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    catalog: Path | None = None
    prefix: str | None = None
    schemas: Path | None = None
    lease_seconds: float = Field(default=10, gt=0)
    """A follower that has not been heard of for so long is taken over."""
    max_lag_bytes: int = Field(default=4 * 1024**3, ge=1)
    when_full: Literal["stop", "drop"] = "stop"
    confirm_deletes: bool | None = None
    """Of subjects that the topic has and a table read afresh has not; None: up to ``max_delete_share``; False: none."""
    max_delete_share: float = Field(default=0.2, ge=0, le=1)
    """Of what was published before the table is read."""
    transaction_rows: int = Field(default=5_000, ge=1)
    snapshot_rows: int = Field(default=5_000, ge=1)
    drain_seconds: float = Field(default=10, gt=0)
    compression: Literal["lz4", "zstd", "snappy", "gzip", "none"] = "lz4"
