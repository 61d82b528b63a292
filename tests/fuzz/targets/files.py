"""Exports in every format, from their bytes to rows that are checked."""

import io
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from random import Random
from typing import Any
from zlib import crc32

import openpyxl
import polars as pl

from bus.catalog import load_catalog
from bus.errors import BusError
from bus.names import AgencyCode
from bus.schema.avsc import load_register
from producers.filediff.check import check
from producers.filediff.fixed import FixedReader
from producers.filediff.header import QUARANTINE_COLUMNS, check_header
from producers.filediff.layout import layout_named
from producers.filediff.lines import lines
from producers.filediff.parse import parse
from producers.filediff.reader import CsvReader, Reader
from producers.filediff.sheet import SheetReader
from producers.mapping import Mapping
from tests.exports import as_csv, cell, people
from tests.fuzz.mutating import BINARY, Mutator, mutated, text
from tests.fuzz.target import Target
from tests.producing import CASE, IDENTITY, POLICE

ROWS = [*people(3), {**people(1)[0], "full_name": 'Nguyễn, "An"\nBình', "card_issue_date": "12/03/2024"}]
DOCUMENTS = '[{"code": "A", "name": "Đơn", "reused_from": null}]'
CASES = (
    "dossier_code,procedure_code,applicant_kind,applicant_id,received_at,status,status_at,channel,agency_code,documents,results\n"
    f'H29.5-260706-1377,1.000656,citizen,079085000001,20260706093000,2,2026-07-06T09:30:00+07:00,online,H29.5,"{DOCUMENTS.replace(chr(34), chr(34) * 2)}",\n'
)
TOKENS = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\x1a",
    b"\xef\xbb\xbf",
    b"\t",
    b";",
    b"9" * 400,
    b"[[",
    b'"[{""a"":',
    b"31/02/2024",
)


CHECKED = 300
"""Of so many inputs one is checked against the register's rules too, which takes fifty times as long as to read it."""


def rows_of(reader: Reader, register: str, delimiter: str, data: bytes) -> bool:
    """All rows, read and mostly no more; taken where none was refused."""
    if len(data) > 20_000 or crc32(data) % CHECKED:
        return all([not chunk.damaged for chunk in reader.chunks()])  # noqa: C419 - all of them are read
    return checked_rows(reader, register, delimiter)


def checked_rows(reader: Reader, register: str, delimiter: str = ",") -> bool:
    """All rows, parsed and checked as a run of file diff does; taken where no row was refused."""
    found = load_catalog_register(register)
    schema = load_register(register)[-1]
    check_header("export", reader.header, schema, delimiter, partial=True)
    fine = True
    for chunk in reader.chunks():
        checked = check(chunk, parse(chunk, schema), found, schema, AgencyCode(POLICE))
        fine = fine and checked.refused.is_empty()
    return fine


@cache
def load_catalog_register(register: str) -> Any:
    return load_catalog().register(register)


def texts(encoding: str, delimiter: str, contents: list[str], register: str = IDENTITY) -> Target:
    def read(data: bytes) -> bool:
        reader = CsvReader(lines(io.BytesIO(data), "export", encoding), "export", delimiter, rows=50)
        return rows_of(reader, register, delimiter, data)

    samples = [each.encode(encoding, "replace") for each in contents]
    head = samples[0].splitlines(keepends=True)[0]
    wide = delimiter.encode() * 30_000
    cases = [
        head + b'"' * 20_001,
        head + b'"' + b"a\n" * 500,
        wide + b"\n" + wide,
        head + b"x" * (1 << 21),
        b"\x00" * 9_000,
    ]
    cases += [
        head * 2,
        b"",
        b"\n" * 9_000,
        head + b"\n" * 9_000,
        b"\xef\xbb\xbf" * 3 + samples[0],
        samples[0] + b"\x1a" + samples[0],
    ]
    return Target(read, samples, cases=cases, mutators=[*text(*TOKENS), *BINARY[:3]], short=300)


def csv() -> Target:
    return texts("utf-8", ",", [as_csv(ROWS), as_csv(ROWS[:1]), as_csv(ROWS).replace("\n", "\r\n")])


def csv_lists() -> Target:
    return texts("utf-8", ",", [CASES], CASE)


def tsv() -> Target:
    return texts("cp1258", "\t", [as_csv(ROWS, delimiter="\t")])


def utf16() -> Target:
    return texts("utf-16", ",", [as_csv(ROWS)])


MAPPED = {
    "register": IDENTITY,
    "source": {"encoding": "tcvn3"},
    "fields": {
        "personal_id": {"from": "ID", "rules": ["text"]},
        "full_name": {"from": ["HO", "TEN"], "rules": ["text", "name"]},
        "birth_date": {"from": "NGAY", "parse": "date"},
        "sex": {"from": "GT", "codes": {"1": "male", "2": "female"}},
        "status": {"from": "TT", "codes": {"1": "active"}, "default": "active"},
    },
}
CELLS = "ID,HO,TEN,NGAY,GT,TT\n079085000001,NguyÔn,BÝch Ngäc,31/12/1985,1,1\n079185000002,TrÇn,An,1985,2,\n"


def mapped() -> Target:
    """An old system's export, its cells cleaned by a mapping."""
    mapping = Mapping.of(MAPPED, load_register(IDENTITY)[-1], "mapping")

    def frames(data: bytes) -> list[pl.DataFrame]:
        reader = CsvReader(lines(io.BytesIO(data), "export", "utf-8"), "export", ",", rows=500)
        return [chunk.cells for chunk in reader.chunks()]

    def read(data: bytes) -> bool:
        return all([mapping.apply(each).refused.is_empty() for each in frames(data)])  # noqa: C419 - all are cleaned

    def read_many(inputs: Sequence[bytes]) -> int:
        """Rows under the same header are cleaned at once, those under another not at all here."""
        found = []
        for data in inputs:
            with suppress(BusError):
                found += [each for each in frames(data) if each.columns == CELLS.splitlines()[0].split(",")]
        refused = mapping.apply(pl.concat(found)).refused["row"].n_unique() if found else 0
        return max(len(found) - refused, 0)

    cases = [CELLS.encode() + b"\xc3\x90" * 9_000, b"ID\n1", CELLS.replace("1985", "9" * 5_000).encode(), b""]
    return Target(
        read, [CELLS.encode()], cases=cases, mutators=[*text(*TOKENS), *BINARY[:3]], short=200, read_many=read_many
    )


def quarantined() -> Target:
    """Refused rows in the file that they were written to, fed in again."""
    rows = as_csv(ROWS).splitlines(keepends=True)
    head = ",".join(QUARANTINE_COLUMNS) + "," + rows[0]
    return texts(
        "utf-8", ",", [head + "".join(f"{n},full_name,rule,a name,{row}" for n, row in enumerate(rows[1:], 2))]
    )


LAYOUT = "personal_id:1:12,full_name:13:20,birth_date:33:10,birth_date_precision:43:5,sex:48:6,status:54:8"


def fixed() -> Target:
    layout = layout_named(LAYOUT)
    lines_of = [
        f"{row['personal_id']:12}{row['full_name']:20}{row['birth_date']:10}day  male  active  \n" for row in people(3)
    ]

    def read(data: bytes) -> bool:
        return rows_of(FixedReader(io.BytesIO(data), "export", layout, rows=50), IDENTITY, ",", data)

    def read_many(inputs: Sequence[bytes]) -> int:
        """Short ones as one file, for a line is a row whatever stands before it; some by themselves, for their ends."""
        plain = [data for number, data in enumerate(inputs) if len(data) < 20_000 and number % 10]
        taken = sum(tried(read, data) for number, data in enumerate(inputs) if not number % 10 or len(data) >= 20_000)
        reader = FixedReader(io.BytesIO(b"\n".join([lines_of[0].encode(), *plain, b""])), "export", layout, rows=25_000)
        damaged = sum(len(chunk.damaged) for chunk in reader.chunks())
        return taken + max(len(plain) - damaged, 0)

    cases = [b"x" * (1 << 21), b"\n" * 9_000, b"\x00" * 9_000, "\U0001f600".encode() * 62 + b"\n", b""]
    return Target(
        read,
        ["".join(lines_of).encode()],
        cases=cases,
        mutators=[*text(*TOKENS), *BINARY[:3]],
        short=500,
        read_many=read_many,
    )


def tried(read: Callable[[bytes], bool], data: bytes) -> bool:
    try:
        return read(data)
    except BusError:
        return False


def workbook(fill: Callable[[Any], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    if fill is None:
        sheet.append(list(ROWS[0]))
        for row in ROWS:
            sheet.append([cell(value) or None for value in row.values()])
        sheet["L2"] = datetime(2024, 3, 12)  # noqa: DTZ001 - a workbook's cells have no zone
        sheet["M2"] = 45_000.5
        sheet["J3"] = True
        sheet["N4"] = "=1/0"
    else:
        fill(sheet)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def sound_rows(sheet: Any) -> None:
    sheet.append(list(ROWS[0]))
    for row in people(3):
        sheet.append([cell(value) or None for value in row.values()])


LARGE = 1 << 16
SHEET = "xl/worksheets/sheet1.xml"


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in parts.items():
            packed = zipfile.ZIP_DEFLATED if len(content) > LARGE else zipfile.ZIP_STORED
            file.writestr(name, content, packed, compresslevel=1)
    return out.getvalue()


XML = text(
    *(
        b"<",
        b">",
        b"/>",
        b"</c>",
        b"<c ",
        b' r="XFD1048576"',
        b' t="s"',
        b"<v>-1</v>",
        b"<v>99999999999</v>",
        b"&amp;",
        b"&#0;",
    ),
    *(
        b'<row r="1048576000">',
        b"<a>",
        b"<!DOCTYPE a>",
        b"<v>1e999</v>",
        b' t="d"',
        b"<is><t>",
        b"\x00",
        b"]]>",
        b' s="99"',
    ),
)


def part_changed(random: Random, data: bytes) -> bytes:
    """XML changed inside its archive."""
    try:
        parts = members(data)
    except Exception:  # noqa: BLE001 - what an archive that was changed before may raise
        return data
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice([*parts, SHEET, SHEET, SHEET, "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml"])
        match random.randrange(12):
            case 0:
                parts.pop(name, None)
            case 1:
                parts[name] = random.choice(list(parts.values()))
            case _:
                parts[name] = mutated(random, [parts.get(name, b"")], XML)
    return zipped(parts)


def with_sheet(content: bytes, part: str = SHEET) -> bytes:
    return zipped({**members(workbook()), part: content})


START = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'


def hostile() -> list[bytes]:
    sound = members(workbook())[SHEET]
    lolz = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
    ten = 1 << 20
    sheets = [
        sound.replace(b'<row r="3"', b'<row r="2000000000"'),
        sound.replace(b'ref="A1:N5"', b'ref="A1:XFD1048576"'),
        sound.replace(b'r="A3"', b'r="ZZZ3"'),
        START + b"<sheetData><row><c><v>" + b"1" * (30 * ten) + b"</v></c></row></sheetData></worksheet>",
        START + b"<sheetData>" + b"<row/>" * 1_100_000 + b"</sheetData></worksheet>",
        START + b"<sheetData><row>" + b"<c/>" * (3 * ten) + b"</row></sheetData></worksheet>",
        b'<!DOCTYPE a [<!ENTITY a0 "lol">'
        + lolz
        + b"]>"
        + START
        + b"<sheetData><row><c><v>&a11;</v></c></row></sheetData></worksheet>",
        START + b"<a>" * 100_000,
    ]
    strings = (
        b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        b"<si><t>" + b"x" * (30 * ten) + b"</t></si></sst>"
    )
    return [
        *(with_sheet(each) for each in sheets),
        with_sheet(strings, "xl/sharedStrings.xml"),
        b"PK\x03\x04" + bytes(100),
        b"",
    ]


def read_sheet(data: bytes) -> bool:
    return rows_of(SheetReader(io.BytesIO(data), "export.xlsx", None, ",", rows=25_000), IDENTITY, ",", data)


def xlsx() -> Target:
    changed: list[Mutator] = [part_changed, part_changed, part_changed, part_changed, *BINARY]
    return Target(
        read_sheet,
        [workbook(), workbook(sound_rows)],
        cases=hostile(),
        mutators=changed,
        cpu_seconds=10,
        short=200,
    )
