import polars as pl
import pytest

from bus.errors import ConfirmationNeeded
from producers.capture.follow.roll import Roll, must_be_few
from producers.filediff import refusals
from producers.filediff.check import Checked
from producers.filediff.diff import Before


def roll(*living):
    blank = {"hash": [None] * len(living), "gone": [False] * len(living), "print": [None] * len(living)}
    schema = {"key": pl.String(), "hash": pl.Int64(), "gone": pl.Boolean(), "print": pl.Int64()}
    return Roll(Before(pl.DataFrame({"key": sorted(living), **blank}, schema=schema)))


def rows(*keys, unreadable=0):
    """Rows of the table; a key with a question mark is doubtful."""
    told = [(line, key.rstrip("?"), key.endswith("?")) for line, key in enumerate(keys)]
    frame = pl.DataFrame(told, {"line": pl.Int64(), "key": pl.String(), "doubtful": pl.Boolean()}, orient="row")
    lines = pl.Series(range(unreadable), dtype=pl.Int64)
    return Checked(pl.DataFrame(), lines.clear(), frame, lines, refusals.none())


def test_who_has_no_row_is_absent_whichever_chunk_the_others_are_in():
    called = roll("A", "B", "C", "D")
    for chunk in (rows("B", "new"), rows(), rows("D", "B")):
        called.call(chunk)
    assert (called.absent().to_list(), called.untrusted) == (["A", "C"], 0)


def test_table_without_rows_answers_for_nobody():
    assert roll("A", "B").absent().to_list() == ["A", "B"]
    assert roll().absent().to_list() == []


def test_rows_that_may_speak_of_anyone_are_counted():
    called = roll("A", "B")
    called.call(rows("A?", "stranger?", "stranger", unreadable=2))
    assert (called.absent().to_list(), called.untrusted) == (["B"], 3)


@pytest.mark.parametrize(("absent", "living", "most"), [(0, 0, 0.2), (2, 10, 0.2), (10, 10, 1.0)])
def test_few_enough_may_be_absent(absent, living, most):
    must_be_few("persons", absent, living, most)


def test_more_than_the_share_has_to_be_confirmed():
    with pytest.raises(ConfirmationNeeded, match=r"persons: 3 of 10 published .* --confirm-deletes .* --keep-absent"):
        must_be_few("persons", 3, 10, 0.2)
