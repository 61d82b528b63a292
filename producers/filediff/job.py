"""What one run of file diff is asked to do, and what it did."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from bus.settings import KafkaSettings, RegistrySettings, Settings

DEFAULT_STATE = Path(".lienthong-state")


class FileJob(Settings):
    """Publish what an export says and its topic does not yet."""

    register_name: str
    file: Path
    agency: str
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    catalog: Path | None = None
    prefix: str | None = None
    schemas: Path | None = None
    state: Path = DEFAULT_STATE
    delimiter: str = ","
    partial: bool = False
    """The export holds some subjects only: who is not in it is not gone."""
    dry_run: bool = False
    confirm_deletes: bool = False
    max_delete_share: float = Field(default=0.2, ge=0, le=1)
    """Of what is published; an export that would delete more needs ``confirm_deletes``."""
    transaction_events: int = Field(default=5_000, ge=1)
    compression: Literal["lz4", "zstd", "snappy", "gzip"] | None = "lz4"
    report: Path | None = None
    quarantine: Path | None = None

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, given: str) -> str:
        delimiter = "\t" if given in {"tab", "\\t"} else given
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise ValueError("a delimiter is one character, such as a comma or a semicolon, or the word tab")
        return delimiter


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run in numbers; ``new``, ``changed`` and ``gone`` are events."""

    register: str
    agency: str
    topic: str
    file: str
    started_at: datetime
    seconds: float
    sent: bool
    """Whether everything has gone out; before that, and in a dry run, the numbers are what would."""
    partial: bool
    rows: int
    new: int
    changed: int
    gone: int
    unchanged: int
    same_text: int
    """Of the unchanged, rows that are word for word as before: they were neither read nor checked again."""
    refused_rows: int
    refused: Mapping[str, int]
    """Refusals by reason; a row may be refused for several."""
    deletes_withheld: str | None
    """Why nobody was deleted although some were not in the export."""
    state_rebuilt: str | None
    """Why the state was read from the topic's beginning, if it was."""
    quarantine: str | None
    report: str | None

    @property
    def events(self) -> int:
        return self.new + self.changed + self.gone

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"events": self.events}
