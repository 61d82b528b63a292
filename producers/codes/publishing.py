"""Publishes the code lists of the wheel, or of a schemas folder, as the registers ``code.<list>``."""

import csv
import tempfile
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from bus.catalog import Catalog, Register, load_catalog
from bus.codes.opening import shipped_lists
from bus.codes.topics import SUBJECT
from bus.errors import ConfigInvalid
from bus.schema.codes import CodeList
from bus.settings import Settings, from_options
from producers.filediff.job import FileJob, Outcome
from producers.filediff.progress import Reporter
from producers.filediff.run import publish_file
from producers.lane import Clock
from producers.publisher import utc_now

PREFIX = f"{SUBJECT}."


def chosen(catalog: Catalog, lists: Mapping[str, CodeList], names: Iterable[str]) -> list[tuple[Register, CodeList]]:
    """The named lists with their registers; of no names, all lists that are registers.

    Raises ConfigInvalid for a list that is not there, RegisterUnknown for one that is no register.
    """
    wanted = list(names) or [each.name.removeprefix(PREFIX) for each in catalog.of_subject(SUBJECT)]
    found = [(catalog.register(PREFIX + name), lists.get(name)) for name in wanted]
    missing = [register.name for register, codes in found if codes is None]
    if missing and names:
        raise ConfigInvalid(
            f"{missing[0]}: no list schemas/codes/{missing[0].removeprefix(PREFIX)}.toml to publish; give the folder "
            f"that has it with --schemas, or publish an export: lienthong publish file {missing[0]} FILE"
        )
    return [(register, codes) for register, codes in found if codes is not None]


async def publish_codes(
    names: Iterable[str], reporter: Reporter | None = None, now: Clock = utc_now, **options: Any
) -> list[Outcome]:
    """Publish lists in the name of their registers' writer; only what is new, changed or gone is sent.

    ``options`` are those of a FileJob. Killed and run again, what is missing is sent, and nothing twice.
    """
    schemas = options.get("schemas")
    catalog = load_catalog(options.get("catalog"), prefix=options.get("prefix"))
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="lienthong-codes-") as directory:
        for register, codes in chosen(catalog, shipped_lists(schemas), list(names)):
            file = _export(Path(directory), register, codes)
            told = {"register_name": register.name, "agency": catalog.writers(register)[0], "file": file}
            outcomes.append(await publish_file(from_options(FileJob, {}, **{**options, **told}), reporter, now))
    return outcomes


def _export(directory: Path, register: Register, codes: CodeList) -> Path:
    """The list as an export in the register's own columns."""
    states = codes.states()
    path = directory / f"{register.name}.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.DictWriter(stream, list(states[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows({name: _cell(value) for name, value in state.items()} for state in states)
    return path


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


class Found(Settings):
    """One period of validity of one code."""

    list: str
    code: str
    name: str
    valid_from: date | None
    valid_to: date | None
    in_force: bool
    kind: str | None
    successor_code: str | None
    succession: str | None


def found(codes: CodeList, at: date | None, code: str | None = None) -> list[Found]:
    """The list's entries, those in force on the day only where one is given, of one code only where that is."""
    now = set(codes.in_force)
    return [
        Found(
            list=codes.name,
            code=each.code,
            name=each.name_vi,
            valid_from=each.valid_from,
            valid_to=each.valid_to,
            in_force=each in now,
            kind=each.kind,
            successor_code=each.successor_code,
            succession=each.succession,
        )
        for each in codes.entries
        if (code is None or each.code == code) and (at is None or each.valid_on(at))
    ]
