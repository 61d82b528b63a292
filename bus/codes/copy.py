"""What the code topics said when they were last read, on disk: one file of JSON per topic, for the next start."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from bus.codes.book import OPTIONAL
from bus.errors import ConfigInvalid, PathUnwritable
from bus.names import RegisterName, TopicName

DAYS = ("valid_from", "valid_to")
TEXTS = ("code", "name", *OPTIONAL, *DAYS)
FIRST_DAY = date.min.isoformat()


@dataclass(frozen=True, slots=True)
class Copy:
    """One code register as its topic had it."""

    register: RegisterName
    topic: TopicName
    topic_id: str
    end: int
    """Offset of the topic's end: while it is the same, nothing has changed."""
    read_at: datetime
    states: tuple[Mapping[str, Any], ...]


def load(directory: Path, topics: Mapping[TopicName, RegisterName]) -> dict[RegisterName, Copy]:
    """The copies of these topics that are there. Raises ConfigInvalid for a file that is none of ours."""
    return {register: copy for topic, register in topics.items() if (copy := _load(_file(directory, topic), topic))}


def keep(directory: Path, copy: Copy) -> None:
    """Replace the topic's copy as a whole: whoever reads meanwhile has the old one. Raises PathUnwritable."""
    file = _file(directory, copy.topic)
    new = file.with_suffix(f".{os.getpid()}.new")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(asdict(copy), ensure_ascii=False, default=str), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        raise PathUnwritable(f"{directory}: {error.strerror}; name another directory for the code lists") from error


def _load(file: Path, topic: TopicName) -> Copy | None:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        states = tuple(map(_state, raw["states"]))
        found = Copy(**{**raw, "read_at": datetime.fromisoformat(raw["read_at"]), "states": states})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigInvalid(
            f"{file}: no copy of a code list; delete it, and it is read from its topic again"
        ) from error
    return found if found.topic == topic else None


def _state(told: Any) -> Mapping[str, Any]:
    """Raises ValueError, TypeError for what no code register holds."""
    if not isinstance(told, dict) or None in (told.get("code"), told.get("name")):
        raise TypeError("no code, or no name")
    if any(not isinstance(told.get(name), str | None) for name in TEXTS):
        raise TypeError("a number or a list in the place of a text")
    for day in DAYS:
        date.fromisoformat(FIRST_DAY if told.get(day) is None else told[day])
    return told


def _file(directory: Path, topic: TopicName) -> Path:
    return directory / f"{topic}.json"
