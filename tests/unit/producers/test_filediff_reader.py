"""Reading an export: both ways read alike, and what is damaged costs one line."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import FileRefused
from producers.filediff.reader import MAX_ROW_LINES, CsvReader


def read(content, rows=50_000, delimiter=","):
    """Rows by line, damaged lines by reason, as bytes."""
    reader = CsvReader(io.BytesIO(content), "export.csv", delimiter, rows)
    sound, damaged = {}, {}
    for chunk in reader.chunks():
        sound |= dict(zip(chunk.lines, chunk.cells.rows(), strict=True))
        damaged |= {found.line: (found.reason, found.raw) for found in chunk.damaged}
    return sound, damaged


def by_row(content):
    """The same without Polars."""
    reader = CsvReader(io.BytesIO(content), "export.csv")
    reader._whole = lambda _block: None
    reader._stream.seek(0)
    reader._line = 0
    reader._width = None
    reader.header = reader._read_header()
    reader._width = len(reader.header)
    chunk = reader._by_row(50_000)
    return dict(zip(chunk.lines, chunk.cells.rows(), strict=True)), {f.line: (f.reason, f.raw) for f in chunk.damaged}


CELLS = st.text(st.sampled_from('ab ,;"\nễ\u00a0\\#'), max_size=3)
LINES = st.lists(CELLS, max_size=4).map(",".join)


@settings(max_examples=300, database=None)
@given(st.lists(LINES, min_size=0, max_size=8), st.sampled_from(["\n", "\r\n"]), st.integers(1, 9))
def test_chunk_size_and_way_of_reading_make_no_difference(lines, end, rows):
    content = end.join(["x,y,z", *lines, ""]).encode()
    assert read(content) == read(content, rows) == by_row(content)


@settings(max_examples=200, database=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8))
def test_whatever_is_quoted_by_the_rules_is_read_back(rows):
    quoted = ("\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)).encode()
    sound, damaged = read(b"x,y,z\n" + quoted)
    assert damaged == {}
    assert list(sound.values()) == [tuple(cell or None for cell in row) for row in rows]


def test_damaged_line_costs_itself_only():
    content = b'a,b\n1,ok\n2,"open\n3,ok\n4,"bad" end\n5\n6,ok,more\n7,"two\nlines"\n\n8,ok'
    sound, damaged = read(content)
    assert sound == {2: ("1", "ok"), 4: ("3", "ok"), 8: ("7", "two\nlines"), 11: ("8", "ok")}
    assert damaged == {
        3: ("damaged", b'2,"open'),
        5: ("damaged", b'4,"bad" end'),
        6: ("cells", b"5"),
        7: ("cells", b"6,ok,more"),
    }


def test_bytes_that_are_no_utf8_cost_their_line_and_are_kept():
    sound, damaged = read(b"a,b\n1,x\n2,\xd4\n3,z\n4,\xc3\xa9\n")
    assert list(sound) == [2, 4, 5]
    assert damaged == {3: ("encoding", b"2,\xd4")}


def test_quote_that_never_closes_costs_one_line_of_a_long_file():
    content = b"a,b\n" + b'0,"open\n' + b"1,x\n" * (3 * MAX_ROW_LINES)
    sound, damaged = read(content)
    assert (len(sound), list(damaged)) == (3 * MAX_ROW_LINES, [2])


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data():
    assert read("\ufeffa,b\r\n1,Đà\r\n".encode())[0] == {2: ("1", "Đà")}


@pytest.mark.parametrize(
    "content", [b"", b" \n\n", "a,b\n1,2\n".encode("utf-16"), b"a,\xd4\n1,2\n", b"a\n\xd4\n\xd5\nb\n"]
)
def test_what_is_no_export_in_utf8_is_refused_at_once(content):
    with pytest.raises(FileRefused, match=r"export\.csv"):
        CsvReader(io.BytesIO(content), "export.csv")


@pytest.mark.parametrize("cut", [b"3", b"3,", b'3,"op', b"3,\xc3", b"3,x,"])
def test_last_line_that_is_cut_makes_the_whole_file_half_written(cut):
    reader = CsvReader(io.BytesIO(b"a,b\n" + b"1,x\n" * 5 + cut), "export.csv", rows=2)
    if cut == b"3,":
        assert [len(chunk) for chunk in reader.chunks()] == [2, 2, 2]  # a whole row, its last cell empty
        assert reader.ended is False
        return
    with pytest.raises(FileRefused, match=r"line 7, the last, .* half-written"):
        list(reader.chunks())


def test_reader_knows_whether_the_last_line_was_ended_and_leaves_the_end_mark_of_dos_out():
    for content, ended in ((b"a,b\n1,x\n", True), (b"a,b\n1,x", False), (b"a,b\n1,x\n\x1a", True)):
        reader = CsvReader(io.BytesIO(content), "export.csv")
        assert [chunk.cells.rows() for chunk in reader.chunks()] == [[("1", "x")]]
        assert reader.ended is ended
