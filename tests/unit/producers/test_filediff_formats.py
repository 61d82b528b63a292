"""Exports in other encodings and formats give the rows that the same export in CSV and UTF-8 gives."""

import io
import zipfile
from datetime import date, datetime

import openpyxl
import pytest

from bus.errors import ConfigInvalid, FileRefused
from producers.filediff.fixed import FixedReader
from producers.filediff.job import FileJob
from producers.filediff.layout import layout_named
from producers.filediff.lines import encoding_named, lines
from producers.filediff.opening import opened, told_by_file
from producers.filediff.reader import CsvReader
from producers.filediff.sheet import SheetReader

TEXT = "id,name\n1,Nguyễn Thị Bích Ngọc\n2,\n3,Đặng\n"
ROWS = {2: ("1", "Nguyễn Thị Bích Ngọc"), 3: ("2", None), 4: ("3", "Đặng")}
DECOMPOSED = TEXT.replace("ễ", "ê\u0303").replace("ị", "i\u0323").replace("ọ", "o\u0323").replace("í", "i\u0301")
DECOMPOSED = DECOMPOSED.replace("ặ", "ă\u0323")


def read(reader):
    sound, damaged = {}, {}
    for chunk in reader.chunks():
        sound |= dict(zip(chunk.lines, chunk.cells.rows(), strict=True))
        damaged |= {found.line: found.reason for found in chunk.damaged}
    return sound, damaged


def csv_in(encoding, content, rows=2):
    return CsvReader(lines(io.BytesIO(content), "export.csv", encoding), "export.csv", rows=rows)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_file_in_utf16_reads_like_one_in_utf8(encoding):
    assert read(csv_in(encoding, TEXT.encode(encoding))) == (ROWS, {})
    assert read(csv_in(encoding, ("\ufeff" + TEXT).encode(encoding.replace("utf-16-", "utf-16-")))) == (ROWS, {})


def test_file_in_windows_1258_gives_the_letters_and_refuses_a_line_that_has_none():
    content = DECOMPOSED.encode("cp1258")
    assert read(csv_in("cp1258", content))[0][2] == ("1", "Nguyê\u0303n Thi\u0323 Bi\u0301ch Ngo\u0323c")
    sound, damaged = read(csv_in("cp1258", content.replace(b"2,", b"2,\xd2x\x8d")))
    assert (list(sound), damaged) == ([2, 4], {3: "encoding"})


def test_file_marked_as_another_encoding_than_declared_is_refused():
    with pytest.raises(FileRefused, match="pass --encoding utf-8"):
        csv_in("cp1258", ("\ufeff" + TEXT).encode())
    with pytest.raises(FileRefused, match="pass --encoding utf-16"):
        csv_in("utf-8", TEXT.encode("utf-16"))


def test_file_in_utf16_that_is_cut_in_a_character_is_half_written():
    with pytest.raises(FileRefused, match="half-written"):
        read(csv_in("utf-16", TEXT.encode("utf-16")[:-3]))


def test_encoding_is_one_that_is_known_and_fonts_are_none():
    assert [encoding_named(name) for name in ("UTF-8", "utf8", "Windows-1258", "latin-1")] == [
        *("utf-8", "utf-8", "cp1258", "iso8859-1")
    ]
    with pytest.raises(ConfigInvalid, match="mapping"):
        encoding_named("TCVN3")
    with pytest.raises(ConfigInvalid, match="cp1258"):
        encoding_named("klingon")


LAYOUT = "id:1:4,name:5:22,year:27:4"


def fixed(text, layout=LAYOUT, rows=2):
    return FixedReader(io.BytesIO(text.encode()), "export.txt", layout_named(layout), rows)


def test_fixed_places_are_counted_in_characters_and_blanks_around_a_value_are_none_of_it():
    text = "1   Nguyễn Thị Bích Ngọc  1985\r\n\n2   Đặng\n3                         1990\n"
    sound, damaged = read(fixed(text))
    assert sound == {
        1: ("1", "Nguyễn Thị Bích Ngọc", "1985"),
        3: ("2", "Đặng", None),
        4: ("3", None, "1990"),
    }
    assert damaged == {}


def test_line_of_another_length_than_the_layout_has_is_refused_alone(tmp_path):
    assert read(fixed("1   A                     1985x\n2   B                     1986\n"))[1] == {1: "cells"}
    layout = tmp_path / "layout.toml"
    layout.write_text(
        'skip = 1\nlength = 8\n[[column]]\nname = "id"\nstart = 1\nwidth = 4\n'
        '[[column]]\nname = "name"\nstart = 5\nwidth = 4\n'
    )
    sound, damaged = read(fixed("a title\n1   Đào \n2   Lê\n", str(layout)))
    assert (sound, damaged) == ({2: ("1", "Đào")}, {3: "cells"})


@pytest.mark.parametrize("cut", ["2   B", "2   B                  1", "2   B" + " " * 30 + "x"])
def test_fixed_line_that_is_cut_makes_the_file_half_written(cut):
    with pytest.raises(FileRefused, match=r"the last, .* half-written"):
        read(fixed("1   A                     1985\n" + cut))


@pytest.mark.parametrize(
    ("layout", "why"),
    [
        ("id:1:4,name:3:4", "overlap"),
        ("id:1:4,id:5:4", "name of its own"),
        ("id:0:4", "start"),
        ("id:1", "width"),
        ("none.toml", "no such file"),
    ],
)
def test_layout_that_makes_no_sense_is_refused(layout, why):
    with pytest.raises(ConfigInvalid, match=why):
        layout_named(layout)


def workbook(sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out


def sheet(rows, name=None):
    return SheetReader(workbook(rows if isinstance(rows, dict) else {"A": rows}), "export.xlsx", name, ",", 2)


def test_sheet_gives_numbers_dates_and_truth_as_text_and_a_column_with_times_of_day_as_points_in_time():
    rows = [
        ["id", "on", "at", "yes", "amount", None],
        ["079", date(2026, 7, 6), datetime(2026, 7, 6, 8, 30), True, 12.0],  # noqa: DTZ001 - a workbook has no time zones
        ["080", datetime(2026, 7, 7), datetime(2026, 7, 7), False, 1.5],  # noqa: DTZ001
        [],
        ["081"],
    ]
    assert read(sheet(rows)) == (
        {
            2: ("079", "2026-07-06", "20260706083000", "true", "12"),
            3: ("080", "2026-07-07", "20260707000000", "false", "1.5"),
            5: ("081", None, None, None, None),
        },
        {},
    )


def test_row_with_a_formula_error_or_a_cell_beyond_the_header_is_refused_alone():
    sound, damaged = read(sheet([["id", "name"], ["1", "#REF!"], ["2", "x", "y"], ["3", "z"]]))
    assert (sound, damaged) == ({4: ("3", "z")}, {2: "cells", 3: "cells"})


def test_of_several_sheets_that_hold_something_one_has_to_be_named():
    book = {"Tháng 6": [["id"], ["1"]], "Trống": [], "Tháng 7": [["id"], ["2"]]}
    with pytest.raises(FileRefused, match="Tháng 6, Tháng 7"):
        sheet(book)
    assert read(sheet(book, "Tháng 7"))[0] == {2: ("2",)}
    with pytest.raises(FileRefused, match="no sheet Tháng 8"):
        sheet(book, "Tháng 8")
    assert read(sheet({"Một": [["id"], ["1"]], "Trống": []}))[0] == {2: ("1",)}


def test_workbook_that_is_cut_damaged_protected_empty_or_none_is_refused():
    whole = workbook({"A": [["id"], *([str(n)] for n in range(1000))]}).getvalue()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        place = archive.getinfo("xl/worksheets/sheet1.xml").header_offset + 200
    damaged = whole[:place] + b"\x00" * 50 + whole[place + 50 :]
    for content in (whole[:-30], whole[: len(whole) // 2], damaged, b"\xd0\xcf\x11\xe0rest", b"id,name\n"):
        with pytest.raises(FileRefused, match=r"export\.xlsx"):
            read(SheetReader(io.BytesIO(content), "export.xlsx", None, ","))
    with pytest.raises(FileRefused, match="empty"):
        sheet([])


def job(path, **more):
    return FileJob(register_name="resident.identity", agency="H29.5", file=path, **more)


def test_format_is_what_the_name_ends_in_unless_it_is_declared(tmp_path):
    kinds = [job(tmp_path / name).kind for name in ("a.csv", "a.TSV", "a.xlsx", "a.txt")]
    assert kinds == ["csv", "tsv", "xlsx", "csv"]
    assert (job(tmp_path / "a.tsv").delimiter, job(tmp_path / "a.txt", format="tsv").delimiter) == ("\t", "\t")
    assert job(tmp_path / "a.txt", layout="id:1:2").kind == "fixed"
    with pytest.raises(ValueError, match="needs a layout"):
        job(tmp_path / "a.txt", format="fixed")


def test_quarantine_file_is_csv_in_utf8_whatever_the_export_was(tmp_path):
    path = tmp_path / "quarantine.csv"
    path.write_text("_line,_field,_reason,_expected,id,name\n2,name,text,x,1,Đặng\n", encoding="utf-8")
    with opened(job(path, encoding="cp1258", layout="id:1:4")) as reader:
        assert read(reader)[0] == {2: ("2", "name", "text", "x", "1", "Đặng")}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_quarantine_file_says_itself_what_is_between_its_cells(tmp_path, delimiter):
    path = tmp_path / "quarantine.csv"
    path.write_text(delimiter.join(["\ufeff_line", "_field", "_reason", "_expected", "id"]) + "\n", encoding="utf-8")
    assert told_by_file(job(path)).delimiter == delimiter
    path.write_text(f"id{delimiter}name\n", encoding="utf-8")
    assert told_by_file(job(path, delimiter="|")).delimiter == "|"


def test_file_in_another_encoding_than_declared_is_told_which_one_was_declared():
    with pytest.raises(FileRefused, match=r"are not CP1252; expected CP1252, as was declared; .*--encoding"):
        csv_in("cp1252", "id,name\n1,Đào Ánh\n2,Đỗ\n".encode())
    with pytest.raises(FileRefused, match=r"are not UTF-8; expected UTF-8, or another encoding"):
        csv_in("utf-8", "id,name\n1,Hoà\n2,Hoà\n".encode("cp1252"))
