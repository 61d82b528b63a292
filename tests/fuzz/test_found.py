"""What fuzzing has found, each with the smallest input that showed it: refused in words ever since."""

import json
import struct
from typing import Any

import pytest

from bus import unreadable
from bus.errors import BusError, RecordsUnreadable
from bus.records import Records, Run, read_headers
from bus.varint import written
from tests.fuzz.targets import TARGETS, kafka, rows
from tests.fuzz.targets.files import SHEET, START, members, sound_rows, with_sheet, workbook

ONE = kafka.batch(0, 3)
SCHEMA = TARGETS["schema-file"]().samples[0]


def counting(count: int, records: bytes) -> bytes:
    """A batch that claims so many records."""
    return kafka.sealed(ONE[:57] + struct.pack(">i", count) + records)


def state_with(**attributes: Any) -> bytes:
    """A register's schema whose first field of the state has these attributes too."""
    schema = json.loads(SCHEMA)
    schema["fields"][-1]["type"][1]["fields"][0] |= attributes
    return json.dumps(schema).encode()


def payload(kind: bytes, form: bytes, told: bytes) -> bytes:
    return rows.told(rows.KEY, rows.EVENT, kind, form, told)


REFUSED = {
    "a batch before its own beginning was read for ever": ("batches", ONE[:8] + struct.pack(">i", -12) + ONE[12:]),
    "a batch shorter than its header": ("batches", ONE[:8] + struct.pack(">i", 10) + ONE[12:]),
    "a codec that there is none of": ("batches", kafka.bomb(7, b"")),
    "rubbish in place of gzip": ("batches", kafka.bomb(1, b"rubbish")),
    "a block of snappy before its own beginning was read for ever": ("batches", kafka.bombs()[4]),
    "records before their own beginning were read for ever": ("batches", counting(2**31 - 1, written(-2) * 10)),
    "two thousand million records in ten bytes": ("batches", counting(2**31 - 1, b"\x0c" + bytes(9))),
    "a number that does not end": ("batches", counting(1, b"\xff" * 1_000)),
    "an offset beyond 64 bits": (
        "batches",
        counting(1, b"\x20\x00\x00" + b"\xff" * 9 + b"\x7f" + b"\x01\x01\x00\x00\x00"),
    ),
    "a control batch without a key": ("batches", kafka.marker(0, b"")),
    "JSON that nests without end": ("schema-file", b"[" * 100_000),
    "a number of thousands of digits in JSON": ("schema-file", b"9" * 5_000),
    "a pattern that nests without end": ("schema-file", state_with(pattern="(" * 3_000, hint="x")),
    "a repetition that is too large": ("schema-file", state_with(pattern="a{99999999999}", hint="x")),
    "a logical type that is a list": ("schema-file", state_with(type={"type": "string", "logicalType": []})),
    "fields that are a number": ("schema-file", state_with(type={"type": "record", "name": "R", "fields": 1})),
    "checks that are a number": (
        "schema-file",
        state_with(type={"type": "record", "name": "R", "fields": [], "checks": 1}),
    ),
    "a kind of schema that there is none of": ("schema-file", json.dumps(json.loads(SCHEMA) | {"type": "e"}).encode()),
    "a check that is a list": ("schema-file", state_with(check=[])),
    "a code list's name that is a record": ("schema-file", state_with(codes={})),
    "a code list that is not UTF-8": ("code-list", b"\xff"),
    "a code that is a number": ("code-list", b"codes=[1]"),
    "a mapping with tables inside tables": (
        "mapping",
        b"register='resident.identity'\n[fields." + b"a." * 3_000 + b"a]\nfrom='b'",
    ),
    "a layout beyond any line": ("layout", b"skip=99999999999999999999\n[[column]]\nname='a'\nstart=1\nwidth=1"),
    "UTF-16 without its mark": ("csv-utf16", b",,"),
    "more columns than any export has": ("csv", b"," * 30_000),
    "a line without an end": ("csv", b"personal_id\n" + b"x" * (3 << 20)),
    "a line without an end in a fixed form": ("fixed-width", b"x" * (3 << 20)),
    "a row beyond the last that a sheet has": (
        "xlsx",
        with_sheet(START + b'<sheetData><row r="99999999"><c><v>1</v></c></row></sheetData></worksheet>'),
    ),
    "a cell of thirty megabytes in thirty kilobytes": (
        "xlsx",
        with_sheet(START + b"<sheetData><row><c><v>" + b"1" * (30 << 20) + b"</v></c></row></sheetData></worksheet>"),
    ),
    "entities inside entities": ("xlsx", with_sheet(b'<!DOCTYPE a [<!ENTITY b "c">]>' + members(workbook())[SHEET])),
    "a sheet whose numbers are none": (
        "xlsx",
        with_sheet(START + b"<sheetData><row><c s='x'><v>1</v></c></row></sheetData></worksheet>"),
    ),
    "a row before its table was described": (
        "pgoutput",
        struct.pack(">I", 9) + b"I" + struct.pack(">I", 9) + b"N" + b"\x00\x01n",
    ),
}


@pytest.mark.parametrize(("reader", "data"), REFUSED.values(), ids=REFUSED)
def test_what_was_found_is_refused(reader: str, data: bytes) -> None:
    """By an error, or in part: a batch is then one record that stands for it."""
    target = TARGETS[reader]()
    try:
        taken = target.read(data)
    except target.refusals:
        taken = False
    assert taken is False


@pytest.mark.parametrize("reader", ["code-list", "catalogue", "config-replica", "mapping", "layout"])
@pytest.mark.parametrize(
    "text",
    [b"a=" + b"[" * 100_000, b"a = " + b"9" * 5_000, b"a." * 8_000 + b"a = 1", b"'a' . \"a\"." * 50 + b"a = 1"],
)
def test_toml_that_nests_without_end_or_counts_without_end_is_refused(reader: str, text: bytes) -> None:
    with pytest.raises(BusError):
        TARGETS[reader]().read(text)


PARKED = {
    "JSON that nests without end": ("outbox-json", payload(b"UPSERT", b"json", b"[" * 100_000)),
    "the same beside sound rows": ("outbox-json-bulk", payload(b"UPSERT", b"json", b"[" * 100_000)),
    "a number beyond a column's": (
        "outbox-json-bulk",
        payload(b"UPSERT", b"json", rows.as_json(rows.person(1, full_name=10**400))),
    ),
    "a captured row that nests without end": ("captured-row", payload(b"UPSERT", b"row", b"[" * 100_000)),
    "half a character in a captured row": (
        "captured-row",
        payload(b"UPSERT", b"row", b'{"m":1,"row":{"a":"\\ud800"}}'),
    ),
    "a captured row whose id has no hyphens": (
        "captured-row",
        rows.told(
            rows.KEY,
            rows.EVENT.replace(b"-", b""),
            b"UPSERT",
            b"row",
            rows.packed(1, json.dumps({name: rows.person(1)[name] for name in rows.FIELDS})),
        ),
    ),
    "a captured row whose id is none": (
        "captured-row",
        rows.told(
            rows.KEY,
            b"x",
            b"UPSERT",
            b"row",
            rows.packed(1, json.dumps({name: rows.person(1)[name] for name in rows.FIELDS})),
        ),
    ),
}


@pytest.mark.parametrize(("reader", "data"), PARKED.values(), ids=PARKED)
def test_a_row_that_ended_the_relay_is_parked(reader: str, data: bytes) -> None:
    assert TARGETS[reader]().read(data) is False


def test_a_sheet_that_claims_to_be_the_largest_reads_as_the_small_one_that_it_is() -> None:
    sheet = members(workbook(sound_rows))[SHEET]
    assert TARGETS["xlsx"]().read(with_sheet(sheet.replace(b'ref="A1:N4"', b'ref="A1:XFD1048576"'))) is True


def test_a_header_name_that_is_not_utf8_stops_nobody() -> None:
    assert read_headers(written(1) + written(1) + b"\xff" + written(1) + b"v") == (("\\xff", b"v"),)


def test_headers_that_do_not_end_are_refused() -> None:
    with pytest.raises(RecordsUnreadable):
        read_headers(written(9))


def test_a_run_with_a_record_beyond_its_end_is_one_record_that_names_its_topic_and_offset() -> None:
    damaged = Run("city.resident.identity", 3, 70, 1, None, 2, b"\xfe\x01" + bytes(20), 0)
    sound = Run("city.resident.identity", 3, 72, 1, None, 3, ONE[61:], 0)
    found = list(Records.of([sound, damaged, sound]))
    assert [each.offset for each in found] == [72, 73, 74, 70, 72, 73, 74]
    told = dict(found[3].headers)
    assert found[3].key is None
    assert found[3].value == damaged.data
    assert (unreadable.why(found[3].headers) or "").startswith("city.resident.identity 3: records from offset 70 on")
    assert told[unreadable.THROUGH] == b"71"


def test_what_stands_for_a_batch_keeps_no_more_than_its_first_megabyte() -> None:
    [record] = Records.of([Run("topic", 0, 5, 1, None, 1, b"\xff" * (3 << 20), 7)])
    assert record.offset == 7, "its beginning was not asked for, and it must not be passed over for that"
    assert len(record.value or b"") == unreadable.MOST_BYTES
    assert dict(record.headers)[unreadable.SIZE] == b"%d" % (3 << 20)


def test_a_record_whose_headers_are_none_is_read_without_them() -> None:
    body = b"\x00\x00\x00\x02k\x02v" + written(9)
    [record] = Records.of([Run("topic", 0, 0, 1, None, 1, written(len(body)) + body, 0)])
    assert (record.key, record.value, record.headers) == (b"k", b"v", ())
