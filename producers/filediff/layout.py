"""Where the columns of a fixed-width export stand: declared in a small TOML file, or in the option itself."""

from itertools import pairwise
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from bus.errors import ConfigInvalid
from bus.settings import Settings, explain, load_toml

MOST = 1_000_000  # characters of a line, and lines before the first row


class Place(Settings):
    """One column, counted in characters after decoding."""

    name: str = Field(min_length=1)
    start: int = Field(ge=1, le=MOST)
    """Of its first character, from 1."""
    width: int = Field(ge=1, le=MOST)

    @property
    def end(self) -> int:
        """The place of its last character."""
        return self.start + self.width - 1


class Layout(Settings):
    column: tuple[Place, ...] = Field(min_length=1)
    skip: int = Field(default=0, ge=0, le=MOST)
    """Lines before the first row, such as a title."""
    length: int | None = Field(default=None, ge=1, le=MOST)
    """Characters of every line; without it, blanks at a line's end may be missing."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = [place.name for place in self.column]
        if len(set(names)) < len(names):
            raise ValueError("each column has a name of its own")
        for before, after in pairwise(sorted(self.column, key=lambda place: place.start)):
            if after.start <= before.end:
                raise ValueError(f"columns {before.name} and {after.name} overlap")
        if self.length is not None and self.length < self.width:
            raise ValueError(f"a line of {self.length} characters is shorter than its columns")
        return self

    @property
    def width(self) -> int:
        """The last character of the last column."""
        return max(place.end for place in self.column)


def layout_named(given: str) -> Layout:
    """From a TOML file, or from ``name:start:width,…``. Raises ConfigInvalid."""
    if ":" not in given or Path(given).is_file():
        return load_toml(Path(given), Layout)
    columns = [dict(zip(("name", "start", "width"), part.split(":"), strict=False)) for part in given.split(",")]
    try:
        return Layout.model_validate({"column": columns})
    except ValidationError as error:
        raise ConfigInvalid(
            f"--layout: {explain(error, whole=None)}; write name:start:width for each column, or name a file"
        ) from error
