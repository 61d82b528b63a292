"""A replica's configuration file."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from bus.names import AgencyCode, RegisterName
from bus.settings import KafkaSettings, RegistrySettings, Settings


class MetricsSettings(Settings):
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)
    """0 takes a free port, which the start-up log line names."""


class Retention(Settings):
    """How long a replica remembers what is gone."""

    graves_days: int = Field(default=60, ge=1)
    """At least the topics' ``delete.retention.ms`` (30 days), so that no late event brings a person back."""
    changes_days: int = Field(default=7, ge=1)


class ReplicaSection(Settings):
    agency: AgencyCode
    name: str = Field(default="replica", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    database: str
    """``sqlite:///file`` or ``postgresql://…``."""
    registers: tuple[RegisterName, ...] = Field(min_length=1)
    catalog: Path | None = None
    prefix: str | None = None
    group: bool = False
    """Share the registers' partitions with other daemons of this replica, through a consumer group; PostgreSQL only."""
    session_seconds: float = Field(default=10, ge=1, le=300)
    """A daemon that the group has not heard for so long has lost its partitions to the others."""
    drain_seconds: float = Field(default=20, gt=0)
    """The one deadline of a shutdown: drain, commit, leave."""
    decoding: Literal["columns", "rows"] = "columns"
    """``rows`` is the reference, a record at a time: for finding out whether the columnar way is at fault."""
    max_batch: int = Field(default=20_000, ge=1, le=1_000_000)
    """Events in one transaction at the most; a lone event never waits for others."""
    max_parked: int = Field(default=100_000, ge=1)
    """Parked events that may wait for the dead-letter topic; then partitions with more of them stand still."""


class ReplicaSettings(Settings):
    replica: ReplicaSection
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    metrics: MetricsSettings = MetricsSettings()
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _each_register_once(self) -> "ReplicaSettings":
        if len(set(self.replica.registers)) != len(self.replica.registers):
            raise ValueError("replica.registers names a register twice")
        return self

    @model_validator(mode="after")
    def _shared_on_postgresql(self) -> "ReplicaSettings":
        if self.replica.group and not self.replica.database.startswith(("postgresql://", "postgres://")):
            raise ValueError(
                "replica.group needs PostgreSQL, since an SQLite file has one writer; name a replica.database on "
                "PostgreSQL, or leave replica.group out"
            )
        return self
