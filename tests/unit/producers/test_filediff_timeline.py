"""An export that goes back in time, or that may be cut, by what earlier ones were."""

from datetime import UTC, datetime, timedelta

import pytest

from bus.errors import FileRefused
from producers.filediff.state import FileState
from producers.filediff.timeline import Remembered, check_end, check_turn

DAY = timedelta(days=1)
MONDAY = datetime(2026, 7, 6, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "partial", "before", "fine"),
    [
        (MONDAY, False, Remembered(), True),
        (MONDAY, False, Remembered(full=MONDAY), True),
        (MONDAY, False, Remembered(full=MONDAY + DAY), False),
        (MONDAY, False, Remembered(partial=MONDAY + DAY), True),
        (MONDAY, True, Remembered(partial=MONDAY + DAY), False),
        (MONDAY, True, Remembered(full=MONDAY + DAY, partial=MONDAY - DAY), False),
        (MONDAY, True, Remembered(full=MONDAY - DAY, partial=MONDAY - DAY), True),
    ],
)
def test_export_made_before_a_published_one_is_refused(made, partial, before, fine):
    if fine:
        check_turn("export.csv", made, before, partial=partial)
    else:
        with pytest.raises(FileRefused, match=r"export\.csv: made 2026-07-06 02:00.*--allow-older"):
            check_turn("export.csv", made, before, partial=partial)


def test_missing_line_end_is_suspect_only_where_earlier_exports_had_one():
    for before, ended, partial in (
        (None, False, False),
        (False, False, False),
        (True, True, False),
        (True, False, True),
    ):
        check_end("export.csv", Remembered(ended=before), ended=ended, partial=partial)
    check_end("export.xlsx", Remembered(ended=True), ended=None, partial=False)
    with pytest.raises(FileRefused, match="half-written"):
        check_end("export.csv", Remembered(ended=True), ended=False, partial=False)


def test_newest_exports_are_remembered_through_a_rebuild(tmp_path):
    with FileState(tmp_path / "state") as state:
        assert state.exports() == Remembered()
        state.exported(MONDAY - DAY, partial=False, ended=False)
        state.exported(MONDAY, partial=False, ended=True)
        state.exported(MONDAY, partial=False, ended=None)
        state.exported(MONDAY + DAY, partial=True, ended=None)
        state.start_over("topic-1")
        assert state.exports() == Remembered(MONDAY, MONDAY + DAY, ended=True)
