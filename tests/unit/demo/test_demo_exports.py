import csv
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unicodedata import is_normalized, normalize

import polars as pl
import pytest

from bus.catalog import load_catalog
from bus.demo.damage import DUPLICATE, ENCODING, RAGGED
from bus.demo.exports import (
    CASE,
    IDENTITY,
    OFFICES,
    RESIDENCE,
    Export,
    Exports,
    Sizes,
    moved,
    mover,
    write_exports,
)
from bus.demo.places import Address
from bus.errors import InputRefused, PathUnwritable
from bus.schema.avsc import load_register
from bus.schema.columns import broken
from producers.filediff.check import check
from producers.filediff.diff import Before, Tally, changes, plan
from producers.filediff.parse import parse
from producers.filediff.reader import CsvReader
from producers.filediff.state import KNOWN

SMALL = Sizes(people=600, businesses=100, dossiers=150)
NOTHING_KNOWN = KNOWN.to_frame()
NEW_HOME = Address("12 Đường số 8", "26740")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return write_exports(tmp_path_factory.mktemp("exports"), 3, SMALL)


def good_rows(export: Export) -> list[dict[str, str]]:
    """Rows as a plain CSV reader sees them, without the lines that must be refused."""
    lines = export.path.read_bytes().splitlines()
    kept = [line.decode() for number, line in enumerate(lines, 1) if number not in export.refused]
    return list(csv.DictReader(kept))


def read_date(text: str) -> date:
    return datetime.strptime(text, "%d/%m/%Y").date() if "/" in text else date.fromisoformat(text)  # noqa: DTZ007 - a day


def read(dtype: pl.DataType, name: str, text: str) -> Any:
    if name == "birth_date":
        return "-".join(reversed(text.split("/")))
    if isinstance(dtype, pl.List):
        return json.loads(
            text,
            object_hook=lambda item: (
                item | ({"issued_on": date.fromisoformat(item["issued_on"])} if "issued_on" in item else {})
            ),
        )
    if isinstance(dtype, pl.Datetime):
        return datetime.fromisoformat(text).astimezone(UTC)
    if dtype == pl.Date:
        return read_date(text)
    return int(text) if dtype == pl.Int64 else normalize("NFC", text)


def state(schema: pl.Schema, row: dict[str, str]) -> dict[str, Any]:
    """A state from the cells of one row, by the letter of the export's rules."""
    found: dict[str, Any] = {}
    for name, dtype in schema.items():
        if isinstance(dtype, pl.Struct):
            parts = {part.name: row[f"{name}.{part.name}"] or None for part in dtype.fields}
            found[name] = (
                {part: text and normalize("NFC", text) for part, text in parts.items()} if any(parts.values()) else None
            )
        else:
            found[name] = read(dtype, name, row[name]) if row[name] else None
    return found


@pytest.mark.parametrize("register", OFFICES)
def test_good_lines_say_exactly_the_valid_states_in_order(exports, register):
    export = exports.files[register]
    assert [state(export.valid.schema, row) for row in good_rows(export)] == export.valid.to_dicts()


@pytest.mark.parametrize("register", OFFICES)
def test_valid_states_keep_the_registers_rules(exports, register):
    assert broken(load_register(register)[-1], exports.files[register].valid).is_empty()


@pytest.mark.parametrize("register", OFFICES)
def test_the_adapter_refuses_what_is_written_down_and_takes_the_rest(exports, register):
    export = exports.files[register]
    schema, entry = load_register(register)[-1], load_catalog().register(register)
    with export.path.open("rb") as stream:
        (chunk,) = CsvReader(stream, export.path.name).chunks()
    checked = check(chunk, parse(chunk, schema), entry, schema, export.agency)
    tally = Tally()
    prints = pl.repeat(None, checked.good.height, dtype=pl.Int64(), eager=True)
    before = Before(NOTHING_KNOWN)
    judged = changes(checked, prints, before, entry.key_field, schema)
    tally.add(checked, judged, before, len(chunk))
    found = plan(tally, before, entry.key_field, partial=False)
    told = {(line, field or None, reason) for line, field, reason, _ in found.refused.iter_rows()}
    assert told == {(line, bad.field, bad.reason) for line, bad in export.refused.items()}
    assert checked.good.filter(~pl.col(entry.key_field).is_in(found.twice.implode())).equals(export.valid)


@pytest.mark.parametrize("register", OFFICES)
def test_files_hold_a_ragged_an_undecodable_and_a_doubled_row(exports, register):
    export = exports.files[register]
    by_reason: dict[str, list[bytes]] = {}
    for number, bad in export.refused.items():
        assert export.path.read_bytes().splitlines()[number - 1] == bad.raw
        by_reason.setdefault(bad.reason, []).append(bad.raw)
    with pytest.raises(UnicodeDecodeError):
        by_reason[ENCODING][0].decode()
    width = len(export.path.read_bytes().splitlines()[0].split(b","))
    assert len(next(csv.reader([by_reason[RAGGED][0].decode()]))) == width + 2
    first, second = (next(csv.reader([raw.decode()])) for raw in by_reason[DUPLICATE])
    assert first[0] == second[0]
    assert first != second


@pytest.mark.parametrize("register", OFFICES)
def test_refused_lines_speak_of_no_valid_key(exports, register):
    export = exports.files[register]
    keys = set(export.valid[OFFICES[register].key_field])
    assert not keys & {bad.raw.split(b",")[0].decode() for bad in export.refused.values()}


def test_agencies_are_the_registers_writers():
    catalog = load_catalog()
    for register, office in OFFICES.items():
        assert catalog.register(register).written_by(office.agency)
        assert catalog.register(register).key_field == office.key_field


def test_police_writes_days_first_and_some_text_decomposed(exports):
    rows = good_rows(exports.files[IDENTITY])
    assert any("/" in row["birth_date"] for row in rows)
    assert any(len(row["birth_date"]) == 10 and "/" not in row["birth_date"] for row in rows)
    assert any(not is_normalized("NFC", row["full_name"]) for row in rows)


def test_same_seed_writes_same_bytes(exports, tmp_path):
    again = write_exports(tmp_path, 3, SMALL)
    for register, export in exports.files.items():
        assert again.files[register].path.read_bytes() == export.path.read_bytes(), register


def test_the_directory_says_that_its_data_is_synthetic(exports):
    assert "Synthetic data" in (exports.directory / "README.txt").read_text("utf-8")


@pytest.mark.parametrize("seed", range(5))
def test_mover_is_known_at_the_police_and_at_the_ward(tmp_path, seed):
    exports = write_exports(tmp_path, seed, SMALL)
    who = mover(exports)
    assert who in set(exports.files[IDENTITY].valid["personal_id"])
    assert who in set(exports.files[RESIDENCE].valid["personal_id"])
    assert who in set(exports.files[CASE].valid["applicant_id"])


def test_moving_house_changes_one_line_of_the_residence_export(tmp_path):
    before = write_exports(tmp_path, 3, SMALL)
    old_lines = before.files[RESIDENCE].path.read_bytes().splitlines()
    who = mover(before)
    after = moved(before, who, NEW_HOME)
    new_lines = after.files[RESIDENCE].path.read_bytes().splitlines()
    changed = [new for old, new in zip(old_lines, new_lines, strict=True) if old != new]
    assert len(changed) == 1
    assert changed[0].startswith(who.encode())
    row = after.files[RESIDENCE].valid.row(by_predicate=pl.col("personal_id") == who, named=True)
    assert row["permanent_address"] == row["current_address"]
    assert row["permanent_address"]["ward_code"] == NEW_HOME.ward_code
    assert [state(after.files[RESIDENCE].valid.schema, r) for r in good_rows(after.files[RESIDENCE])] == after.files[
        RESIDENCE
    ].valid.to_dicts()


def test_moving_a_stranger_is_refused(exports):
    with pytest.raises(InputRefused, match="no such person"):
        moved(exports, "000000000000", NEW_HOME)


def test_unwritable_directory_is_told_with_its_name(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PathUnwritable, match="choose another directory"):
        write_exports(tmp_path / "file" / "exports", 3, SMALL)
