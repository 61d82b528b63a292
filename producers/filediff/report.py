"""The report of a run: its numbers, and every refusal with line, field, reason and remedy. No values of the data."""

import json
from pathlib import Path

from bus.disk import writing
from producers.filediff.job import Outcome
from producers.filediff.refusals import Refusals


def write_report(path: Path, outcome: Outcome, refused: Refusals) -> None:
    """One JSON document. Raises PathUnwritable, DiskFull."""
    head = json.dumps(outcome.as_json(), ensure_ascii=False, indent=2, default=str).removesuffix("\n}")
    with writing(path, "name another --report file"), path.open("w", encoding="utf-8") as file:
        file.write(f'{head},\n  "refusals": [')
        for place, row in enumerate(refused.iter_rows(named=True)):
            file.write(("," if place else "") + "\n    " + json.dumps(row, ensure_ascii=False))
        file.write("\n  ]\n}\n")
