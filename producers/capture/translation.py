"""Captured rows made rows of their register: mapped, cleaned, checked and encoded, many at a time.

What cannot go out is given back with its reason; the agency's table keeps every original.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from bus import metrics
from bus.catalog import Register
from bus.errors import ConfigInvalid, StateInvalid
from bus.event import Op
from bus.names import AgencyCode
from producers.admission import key_refusals
from producers.capture.row import unpacked
from producers.capture.table import Mappings
from producers.filediff import refusals
from producers.filediff.check import Checked, check
from producers.filediff.parse import parse
from producers.filediff.reader import Chunk
from producers.mapping import Cleaned, Mapping, counts
from producers.outbox.relay.bulk import events
from producers.outbox.relay.row import Row
from producers.outbox.table import BYTES, JSON, REASON_LENGTH, ROW
from producers.outbox.types import read_event_id
from producers.release import Release

Cells = dict[str, str | None]


@dataclass(slots=True)
class Translated:
    """Rows of the register, in the order of the captured ones, and what cannot be."""

    rows: list[Row] = field(default_factory=list)
    parked: list[tuple[int, str, str]] = field(default_factory=list)
    """Row, event id, reason; never a value of the data."""


@dataclass(frozen=True, slots=True)
class Translator:
    register: Register
    agency: AgencyCode
    release: Release
    stored: Mappings

    def translate(self, rows: Sequence[Row]) -> Translated:
        """Other rows pass as they are. Raises DatabaseUnavailable where a mapping cannot be read now."""
        made, reasons = self._made(rows)
        told = Translated()
        for row in rows:
            seq, event_id = row[0], row[2]
            if seq in reasons:
                told.parked.append((seq, event_id.decode(), reasons[seq][:REASON_LENGTH]))
            else:
                told.rows.append(made.get(seq, row))
        return told

    def look(self, mapping: int, rows: Sequence[Cells]) -> Checked:
        """What the rows of one mapping say, counted nowhere. Raises ConfigInvalid, DatabaseUnavailable."""
        return self._checked(_cleaned(self.stored(mapping), rows))

    def _made(self, rows: Sequence[Row]) -> tuple[dict[int, Row], dict[int, str]]:
        made: dict[int, Row] = {}
        reasons: dict[int, str] = {}
        groups: dict[int, list[tuple[Row, Cells]]] = defaultdict(list)
        for row in (Row._make(each) for each in rows if each[4] == ROW):
            try:
                read_event_id(row.event_id)
                number, cells = unpacked(row.payload)
            except StateInvalid as error:
                reasons[row.seq] = str(error)
            except ValueError:
                reasons[row.seq] = f"{self.register.name}: id: expected a UUID"
            else:
                groups[number].append((row, cells))
        for number, some in groups.items():
            try:
                self._group(self.stored(number), some, made, reasons)
            except ConfigInvalid as error:
                reasons |= {row.seq: str(error) for row, _ in some}
        return made, reasons

    def _group(
        self, mapping: Mapping, some: list[tuple[Row, Cells]], made: dict[int, Row], reasons: dict[int, str]
    ) -> None:
        cleaned = _cleaned(mapping, [cells for _, cells in some])
        self._count(cleaned)
        checked = self._checked(cleaned)
        why = self._reasons(checked.refused)
        keys = dict(zip(checked.keys["line"], checked.keys["key"], strict=True))
        for place, (row, _) in enumerate(some):
            if row.type == Op.DELETE:
                self._delete(row, keys.get(place), made, reasons)
            elif place in why or row.type != Op.UPSERT:
                reasons[row.seq] = why.get(place, "type: expected UPSERT or DELETE")
        fine = [(place, some[place][0]) for place in checked.lines if some[place][0].seq not in reasons]
        upserts = [(place, row) for place, row in fine if row.type == Op.UPSERT]
        self._upserts(upserts, checked.good, checked.lines, made)

    def _checked(self, cleaned: Cleaned) -> Checked:
        """``line`` is the place in the frame."""
        chunk = Chunk(pl.int_range(cleaned.frame.height, eager=True), cleaned.frame)
        parsed = parse(chunk, self.release.schema)
        unread = cleaned.refused.rename({"row": "line"}).select(refusals.SCHEMA.names())
        parsed = replace(parsed, refused=refusals.together([parsed.refused, unread]))
        return check(chunk, parsed, self.register, self.release.schema, self.agency)

    def _delete(self, row: Row, key: str | None, made: dict[int, Row], reasons: dict[int, str]) -> None:
        """Of a row that is gone only the key counts."""
        if key is None or key_refusals(self.register, self.release.schema, self.agency, key):
            reasons[row.seq] = f"{self.register.name}: {self.register.key_field}: cannot be read from the deleted row"
            return
        made[row.seq] = row._replace(key=key.encode(), format=JSON, payload=None)

    def _upserts(self, rows: list[tuple[int, Row]], good: pl.DataFrame, lines: pl.Series, made: dict[int, Row]) -> None:
        if not rows:
            return
        states = good.filter(lines.is_in([place for place, _ in rows]))
        keys = states[self.register.key_field]
        some = [row._replace(key=key.encode(), format=BYTES) for (_, row), key in zip(rows, keys, strict=True)]
        encoded = self.release.bulk.encode(events(self.release.schema, self.agency, some, states).drop("seq"))
        made |= {row.seq: row._replace(payload=value) for row, value in zip(some, encoded, strict=True)}

    def _reasons(self, refused: refusals.Refusals) -> dict[int, str]:
        """One line a row: fields, rules and what was expected."""
        told: dict[int, list[str]] = defaultdict(list)
        for line, name, reason, expected in refused.unique(maintain_order=True).iter_rows():
            told[line].append(f"{name}: {reason}: expected {expected}")
        return {line: f"{self.register.name}: {'; '.join(each)}" for line, each in told.items()}

    def _count(self, cleaned: Cleaned) -> None:
        for rule, count in counts(cleaned.changes, "rule").items():
            metrics.cleaned.labels(self.register.name, self.agency, rule).inc(count)
        for reason, count in counts(cleaned.reviews, "reason").items():
            metrics.doubted.labels(self.register.name, self.agency, reason).inc(count)


def _cleaned(mapping: Mapping, rows: Sequence[Cells]) -> Cleaned:
    names = dict.fromkeys(name for cells in rows for name in cells)
    columns = {name: [cells.get(name) for cells in rows] for name in names}
    return mapping.apply(pl.DataFrame(columns, dict.fromkeys(names, pl.String)))
