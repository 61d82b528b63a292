"""Small exports, and runs over them."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from producers.filediff.job import FileJob, Outcome
from producers.filediff.run import publish_file
from tests.producing import IDENTITY, POLICE, person, registry_settings


def people(count: int) -> list[dict[str, Any]]:
    return [person(number) for number in range(count)]


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = (), delimiter: str = ",") -> str:
    out = io.StringIO()
    header = list(columns) or list(rows[0])
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell(row[name]) for name in header] for row in rows)
    return out.getvalue()


def export(directory: Path, rows: Sequence[Mapping[str, Any]], name: str = "export.csv", **how: Any) -> Path:
    path = directory / name
    path.write_text(as_csv(rows, **how), encoding="utf-8")
    return path


def text(path: str | Path | None) -> str:
    """What is in a file that a run has written."""
    assert path is not None
    return Path(path).read_text(encoding="utf-8")


def job(bootstrap: str, prefix: str, directory: Path, file: Path, **more: Any) -> FileJob:
    given: dict[str, Any] = {
        "register_name": IDENTITY,
        "agency": POLICE,
        "file": file,
        "kafka": {"bootstrap_servers": bootstrap},
        "registry": registry_settings(prefix),
        "prefix": prefix,
        "state": directory / "state",
    }
    return FileJob.model_validate(given | more)


async def run(bootstrap: str, prefix: str, directory: Path, file: Path, **more: Any) -> Outcome:
    return await publish_file(job(bootstrap, prefix, directory, file, **more))
