"""What a publisher is told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from bus.codes import CodesFrom
from bus.settings import KafkaSettings, RegistrySettings


class PublisherSettings(CodesFrom):
    """One agency's way onto the bus."""

    agency: str
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    catalog: Path | None = None
    """Catalogue file; the shipped one by default."""
    prefix: str | None = None
    """Topic prefix instead of the catalogue's."""
    schemas: Path | None = None
    """Folder with ``avro/`` and ``codes/``; the shipped one by default."""
    registers: tuple[str, ...] = ()
    """Opened at once, so that what is wrong shows at the start; any other is opened when it is first used."""
    exclusive: bool = False
    """Send in short transactions under the topic's fixed id: a second one started fences the first."""
    compression: Literal["lz4", "zstd", "snappy", "gzip"] | None = "lz4"
    ack_seconds: float = Field(default=30, gt=0)
    """How long ``publish`` waits for Kafka; after that the event may still arrive."""
    drain_seconds: float = Field(default=10, gt=0)
    """One deadline for all of closing."""
