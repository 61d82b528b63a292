"""A mapping file as it is written: which of a source's columns make which fields, and by which rules."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from producers.cleaning.dates import why_no_date, why_no_time
from producers.cleaning.fonts import Encoding
from producers.cleaning.rules import CLEANERS, PARSERS

Charset = Literal["utf-8", "windows-1252"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    @field_validator("rules", check_fields=False)
    @classmethod
    def _known_rules(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            if name not in CLEANERS:
                more = "; it goes into parse" if name in PARSERS else ""
                raise ValueError(f"{name} is no rule{more}; rules are {', '.join(CLEANERS)}")
        return names


class SourceForm(_Part):
    """What holds of all of a source's columns."""

    encoding: Encoding = Encoding.UTF8
    """Of the text: ``tcvn3`` and ``vni`` are fonts of before Unicode. Declared, never guessed."""
    charset: Charset | None = None
    """Of a file's bytes; by default UTF-8, and Windows-1252 where the encoding is TCVN3 or VNI."""
    empty: tuple[str, ...] = ()
    """Cells that say nothing, such as NULL or a hyphen; an empty cell always says nothing."""
    rules: tuple[str, ...] = ("text",)

    @property
    def bytes_are(self) -> Charset:
        return self.charset or ("utf-8" if self.encoding is Encoding.UTF8 else "windows-1252")


class FieldRule(_Part):
    """How one field is made."""

    columns: tuple[str, ...] = Field(default=(), alias="from")
    """One column, or several that are joined, empty ones left out."""
    separator: str = " "
    constant: str | None = None
    encoding: Encoding | None = None
    """Where the column's text is in another encoding than the source's."""
    rules: tuple[str, ...] | None = None
    """Instead of the source's rules."""
    parse: str | None = None
    formats: tuple[str, ...] = ()
    """With parse date or timestamp: the forms that the source writes, in order of trial."""
    codes: Mapping[str, str] = {}
    otherwise: str | None = None
    """The code for values that ``codes`` lacks; without it they are refused."""

    default: str | None = None
    """For rows in which the column is empty."""

    @field_validator("columns", mode="before")
    @classmethod
    def _one_or_more(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("parse")
    @classmethod
    def _known_parser(cls, name: str | None) -> str | None:
        if name is not None and name not in PARSERS:
            more = "; it goes into rules" if name in CLEANERS else ""
            raise ValueError(f"{name} is nothing to parse{more}; choose one of {', '.join(PARSERS)}")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.constant is None) == (not self.columns):
            raise ValueError("a field has either from, a column or several, or a constant")
        if self.formats and self.parse not in {"date", "timestamp"}:
            raise ValueError('formats belong to parse = "date" or parse = "timestamp"')
        for form in self.formats:
            why = why_no_time(form) if self.parse == "timestamp" else why_no_date(form)
            if why:
                raise ValueError(f"formats: {form}: {why}")
        if self.codes and self.parse:
            raise ValueError("a field has codes or parse, not both")
        if self.parse == "old_ward" and len(self.columns) > 2:
            raise ValueError("old_ward reads one column of old wards, and one that says the new ward")
        if self.otherwise is not None and not self.codes:
            raise ValueError("otherwise belongs to codes")
        return self


KEYS = frozenset(field.alias or name for name, field in FieldRule.model_fields.items())


class MappingFile(_Part):
    register_name: str = Field(alias="register")
    title: str = ""
    source: SourceForm = SourceForm()
    fields: dict[str, FieldRule] = Field(min_length=1)
