"""What an outbox is told."""

from pathlib import Path
from typing import Literal

from bus.codes import CodesFrom
from bus.settings import KafkaSettings, RegistrySettings


class OutboxSettings(CodesFrom):
    """One agency's way into its own outbox. Kafka is asked for schema ids only, and only what is not known yet."""

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
    form: Literal["bytes", "json"] = "bytes"
    """``bytes``: what Kafka gets, so that Debezium may send it too. ``json``: the relay encodes, and no registry is
    needed here."""
