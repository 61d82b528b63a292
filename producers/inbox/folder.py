"""One folder of an inbox on disk: what lies in it, and where things go afterwards."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bus.crashpoints import crash_point
from bus.disk import writing
from producers.filediff.beside import Beside
from producers.inbox.waiting import Entry, companions

WRITABLE = "give the inbox the right to write"
Outcome = Literal["done", "failed"]
Stat = tuple[int, int, int]
REPORTS = ("report.json", "quarantine.csv", "report.changes.jsonl", "report.reviews.jsonl")
"""What a run may write, behind the name under which its file is kept."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file while it is published. Its reports are written where they belong when all goes well."""

    file: Path
    stem: str
    """Under which it and its reports are kept: when it was made, and its name."""
    stat: Stat | None

    @property
    def report(self) -> Path:
        return self.place("done", "report.json")

    @property
    def quarantine(self) -> Path:
        return self.place("done", "quarantine.csv")

    @property
    def untouched(self) -> bool:
        """Whether the file is still the one that was taken."""
        return self.stat is not None and _stat(self.file) == self.stat

    def place(self, outcome: Outcome, what: str) -> Path:
        return self.file.parent / outcome / f"{self.stem}.{what}"


def entries(folder: Path) -> list[Entry]:
    """The files that lie in it; one that is gone in the meantime is none."""
    found = []
    with writing(folder, WRITABLE):
        for path in folder.iterdir():
            with suppress(FileNotFoundError):
                if path.is_file():
                    stat = path.stat()
                    found.append(Entry(path.name, stat.st_mtime, stat.st_ctime))
    return found


def prepare(folder: Path) -> None:
    """Make the folder and those inside it. Raises PathUnwritable."""
    with writing(folder, WRITABLE):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("done", "failed"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)


def take(folder: Path, entry: Entry) -> Taken:
    """The file as it is about to be published, with a name under which no other is kept."""
    made = datetime.fromtimestamp(entry.made, UTC)
    with writing(folder, WRITABLE):
        names = {path.name for kind in ("done", "failed") for path in (folder / kind).iterdir()}
    stems = (_stem(made, number, entry.name) for number in range(1, len(names) + 2))
    return Taken(folder / entry.name, next(stem for stem in stems if stem not in names), _stat(folder / entry.name))


def put_done(taken: Taken) -> None:
    """Move the file to its reports. Killed before, it is published again, which sends nothing, and then moved."""
    with writing(taken.file, WRITABLE):
        crash_point("inbox.reported")
        _move(taken, "done")


def put_failed(taken: Taken, told: Mapping[str, Any]) -> Path:
    """Move reports and file to where failed ones are, and say why in the report, which is given."""
    with writing(taken.file, WRITABLE):
        moved = {what: taken.place("failed", what) for what in REPORTS if taken.place("done", what).exists()}
        for what, target in moved.items():
            taken.place("done", what).replace(target)
        report = taken.place("failed", "report.json")
        where = {_word(what): str(target) for what, target in moved.items()}
        _add(report, {"file": taken.file.name, **where, "report": str(report), **told})
        crash_point("inbox.reported")
        _move(taken, "failed")
    return report


def _move(taken: Taken, outcome: Outcome) -> None:
    taken.file.rename(taken.file.parent / outcome / taken.stem)
    crash_point("inbox.moved")
    for name in companions(taken.file.name):
        (taken.file.parent / name).unlink(missing_ok=True)


def _word(what: str) -> str:
    """Under which name a report speaks of a file: ``changes`` for ``report.changes.jsonl``."""
    return what.removeprefix("report.").partition(".")[0] if what != "report.json" else "report"


def _add(path: Path, more: Mapping[str, Any]) -> None:
    """To a report that may be there already."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a report cut off by a kill says less than what is added now
        told = {}
    report = Beside(path, WRITABLE)
    report.write([(json.dumps(told | dict(more), ensure_ascii=False, indent=2) + "\n").encode()])
    report.close(keep=True)


def _stem(made: datetime, number: int, name: str) -> str:
    return f"{made:%Y%m%dT%H%M%S}{'' if number == 1 else f'.{number}'}-{name}"


def _stat(file: Path) -> Stat | None:
    """None for a file that is gone."""
    with suppress(FileNotFoundError):
        stat = file.stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
    return None
