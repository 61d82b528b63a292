"""Which of the files that lie in a folder are complete, and in which order they are taken. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

COMPANIONS = (".done", ".ok")
UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp", ".swp", "~")
"""Endings under which programs write what they rename when it is whole."""
HIDDEN = (".", "~$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in a folder."""

    name: str
    made: float
    """When its content was last written, in seconds since 1970, as whoever sent it says."""
    touched: float
    """When it was last changed here in any way, which no sender can set."""


@dataclass(frozen=True, slots=True)
class Terms:
    now: float
    settle_seconds: float
    companion: bool
    """Wait for a companion, however long the file has lain still."""


def exports(entries: Iterable[Entry]) -> list[Entry]:
    """Files that are exports or become one, without helpers and without what is being written under another name."""
    return [
        entry
        for entry in entries
        if not entry.name.startswith(HIDDEN) and not entry.name.lower().endswith((*UNFINISHED, *COMPANIONS))
    ]


def complete(entries: Iterable[Entry], terms: Terms) -> list[Entry]:
    """The exports that may be taken, the oldest first."""
    given = list(entries)
    by_name = {entry.name: entry for entry in given}
    ready = [entry for entry in exports(given) if _is_complete(entry, by_name, terms)]
    return sorted(ready, key=lambda entry: (entry.made, entry.name))


def companions(name: str) -> list[str]:
    """The names under which somebody may say that this file is complete: ``a.csv.ok`` or ``a.ok`` for ``a.csv``."""
    stem = name.rpartition(".")[0] or name
    return list(dict.fromkeys(base + ending for base in (name, stem) for ending in COMPANIONS))


def _is_complete(entry: Entry, by_name: Mapping[str, Entry], terms: Terms) -> bool:
    """Said so by a companion that came after it, as yesterday's did not; or left alone for long enough."""
    said = (by_name[name] for name in companions(entry.name) if name in by_name)
    if any(other.touched >= entry.touched for other in said):
        return True
    return not terms.companion and terms.now - entry.touched >= terms.settle_seconds
