"""The demo's own proof: what a replica exports against what the agencies' files say, row by row."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class Verdict:
    """Rows of one register in one replica."""

    expected: int
    held: int
    differing: int
    """Keys whose rows differ, are missing, or are there without being in the file."""

    @property
    def equal(self) -> bool:
        return self.differing == 0 and self.expected == self.held


def prove(valid: pl.DataFrame, key_field: str, exported: Iterable[str]) -> Verdict:
    """Hold a replica's rows (JSON Lines of ``lienthong replica export``) against the file's valid rows."""
    wanted = {str(row[key_field]): _canonical(row) for row in valid.to_dicts()}
    held = {str(row[key_field]): _canonical(row) for row in (json.loads(line)["fields"] for line in exported)}
    differing = sum(1 for key in wanted.keys() | held.keys() if wanted.get(key) != held.get(key))
    return Verdict(len(wanted), len(held), differing)


def _canonical(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, ensure_ascii=False, default=_text)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
