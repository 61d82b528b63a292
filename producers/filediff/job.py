"""What one run of file diff is asked to do, and what it did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bus.codes import CodesFrom
from bus.settings import KafkaSettings, RegistrySettings
from producers.filediff.forms import CITY_TIME

Kind = Literal["csv", "tsv", "xlsx", "fixed"]
DEFAULT_STATE = Path(".lienthong-state")


class FileJob(CodesFrom):
    """Publish what an export says and its topic does not yet."""

    register_name: str
    file: Path
    agency: str
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    catalog: Path | None = None
    prefix: str | None = None
    schemas: Path | None = None
    mapping: Path | None = None
    """How the export's columns make the register's fields; without it they bear the fields' names."""
    state: Path = DEFAULT_STATE
    format: Kind | None = None
    """By default what the file's name ends in; CSV for one that says nothing, fixed-width where there is a layout."""
    delimiter: str = ","
    encoding: str | None = None
    """Of the file's bytes, where that is not UTF-8 or what the mapping says."""
    layout: str | None = Field(default=None, validate_default=True)
    """Of a fixed-width file: a TOML file, or ``name:start:width,…``."""
    sheet: str | None = None
    """Of a workbook with several."""
    as_of: datetime | None = None
    """When the export was made, if the file's own time does not say so."""
    allow_older: bool = False
    """Publish an export that was made before one that is published already."""
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

    @property
    def kind(self) -> Kind:
        if self.format is not None:
            return self.format
        ending = self.file.suffix.lower().removeprefix(".")
        return "fixed" if self.layout else cast("Kind", ending if ending in {"tsv", "xlsx"} else "csv")

    @model_validator(mode="before")
    @classmethod
    def _tabs_between(cls, given: Any) -> Any:
        """Cells of a TSV file are separated by tabs, unless something else is said."""
        if isinstance(given, Mapping) and given.get("delimiter") is None:
            tabs = given.get("format") == "tsv" or str(given.get("file")).lower().endswith(".tsv")
            return {**given, "delimiter": "\t" if tabs else ","}
        return given

    @field_validator("layout")
    @classmethod
    def _layout_fits(cls, given: str | None, info: ValidationInfo) -> str | None:
        if (info.data.get("format") == "fixed" and given is None) or (
            info.data.get("format") not in {None, "fixed"} and given is not None
        ):
            raise ValueError("a fixed-width export needs a layout, and no other export has one")
        return given

    @field_validator("as_of")
    @classmethod
    def _with_offset(cls, given: datetime | None) -> datetime | None:
        """A time without an offset is the city's."""
        return given.replace(tzinfo=ZoneInfo(CITY_TIME)) if given is not None and given.tzinfo is None else given

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
    absent: int
    """Published subjects that a full export does not have; ``gone``, unless deletes were withheld."""
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
    cleaned: Mapping[str, int] = field(default_factory=dict)
    """Values that a mapping's rules changed, by rule, in the rows that were read."""
    doubted: Mapping[str, int] = field(default_factory=dict)
    """Values that went through and are to be looked at, by reason."""
    changes: str | None = None
    """File of each change with the value before and after."""
    reviews: str | None = None
    """File of the doubted values."""
    codes: str = ""
    """By which code lists the rows were cleaned and validated, in words."""

    @property
    def events(self) -> int:
        return self.new + self.changed + self.gone

    @property
    def rows_passed(self) -> int:
        """Rows that say something that may stand in the register."""
        return self.new + self.changed + self.unchanged

    def as_json(self) -> dict[str, Any]:
        more = {"rows_passed": self.rows_passed, "events": self.events}
        return {name: getattr(self, name) for name in self.__slots__} | more
