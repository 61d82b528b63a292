"""What an inbox is told: for each kind of file its register and how it is read."""

import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from bus.codes import CodesFrom
from bus.errors import ConfigInvalid
from bus.settings import KafkaSettings, RegistrySettings, Settings, explain
from producers.filediff.job import DEFAULT_STATE, FileJob, Kind

QUARANTINED = re.compile(r"(?:[0-9]{8}T[0-9]{6}(?:\.[0-9]+)?-)+(.+?)(?:\.quarantine\.csv)+")
"""How an inbox calls the refused rows of an export."""


class Metrics(Settings):
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """0 for a free one; without one, nothing is served."""


class Route(Settings):
    """Files of one kind: where they are put, what they are."""

    register_name: str = Field(alias="register")
    folder: PurePath = PurePath()
    """Below the inbox."""
    pattern: str = "*"
    """Of the names, capitals and small letters alike, such as ``identity*.csv``."""
    agency: str | None = None
    """Instead of the inbox's."""
    format: Kind | None = None
    delimiter: str | None = None
    encoding: str | None = None
    layout: str | None = None
    sheet: str | None = None
    mapping: Path | None = None
    partial: bool = False
    max_delete_share: float = Field(default=0.2, ge=0, le=1)

    @field_validator("folder")
    @classmethod
    def _inside(cls, given: PurePath) -> PurePath:
        if given.is_absolute() or ".." in given.parts:
            raise ValueError("a folder lies inside the inbox; name it relative to it")
        return given

    def takes(self, name: str) -> bool:
        """A quarantine file is taken under the name of the export that it is of."""
        quarantined = QUARANTINED.fullmatch(name)
        names = (name, quarantined[1]) if quarantined else (name,)
        return any(fnmatchcase(each.lower(), self.pattern.lower()) for each in names)


BUS = ("kafka", "registry", "catalog", "prefix", "schemas", "state", "codes", "codes_on")
"""What all of an inbox's runs are told alike."""


class InboxSettings(CodesFrom):
    kind: Literal["file"] = "file"
    """Of the adapter; the same file tells ``lienthong adapter check``."""
    agency: str
    route: tuple[Route, ...] = Field(min_length=1)
    """The first that takes a file's name has it."""
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    catalog: Path | None = None
    prefix: str | None = None
    schemas: Path | None = None
    state: Path = DEFAULT_STATE
    settle_seconds: float = Field(default=10, ge=0)
    """A file that nobody has touched for so long is complete."""
    companion: bool = False
    """A file is complete only once ``name.done`` or ``name.ok`` lies beside it."""
    poll_seconds: float = Field(default=2, gt=0)
    retry_seconds: float = Field(default=15, gt=0)
    """Until the next try where something is away."""
    drain_seconds: float = Field(default=20, gt=0)
    """The one deadline of a shutdown."""
    metrics: Metrics = Metrics()

    def job(self, route: Route, file: Path, report: Path, quarantine: Path) -> FileJob:
        """Raises ConfigInvalid where a route's settings do not fit together."""
        own: dict[str, Any] = route.model_dump(exclude={"folder", "pattern"})
        bus = {name: getattr(self, name) for name in BUS}
        more = {"file": file, "agency": route.agency or self.agency, "report": report, "quarantine": quarantine}
        try:
            return FileJob.model_validate(own | bus | more)
        except ValidationError as error:
            raise ConfigInvalid(f"route for {route.register_name}: {explain(error, whole=None)}") from error
