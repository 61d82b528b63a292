"""The state file: newest version wins, rows and positions together, useless when it cannot be continued."""

import sqlite3
import stat
from datetime import UTC, datetime, timedelta

import pytest

from bus.errors import PathUnwritable
from producers.filediff.state import FileState, Published

NOW = datetime(2026, 7, 6, tzinfo=UTC)
MONTH = timedelta(days=29)


@pytest.fixture
def state(tmp_path):
    with FileState(tmp_path / "topic.sqlite") as opened:
        opened.start_over("topic-1")
        opened.caught_up(NOW)
        yield opened


def rows(state):
    return state.known().rows()


def test_newest_version_wins_whatever_comes_later(state):
    state.apply([Published("b", 1, 10, gone=False), Published("a", 2, 10, gone=False)], {0: 2})
    state.apply([Published("b", 9, 9, gone=False), Published("a", None, 11, gone=True)], {0: 4, 1: 1})
    state.apply([Published("a", 3, 11, gone=False)], {})
    assert rows(state) == [("a", None, True, None), ("b", 1, False, None)]
    assert (state.positions(), state.high_water()) == ({0: 4, 1: 1}, 11)


def test_rows_and_positions_change_together_or_not_at_all(state):
    def broken():
        yield Published("a", 1, 1, gone=False)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        state.apply(broken(), {0: 7})
    assert (rows(state), state.positions()) == ([], {})


def test_state_survives_closing_and_is_readable_by_its_owner_alone(tmp_path):
    path = tmp_path / "topic.sqlite"
    with FileState(path) as first:
        first.start_over("topic-1")
        first.apply([Published("a", -5, 1, gone=False)], {3: 1})
    with FileState(path) as second:
        assert (rows(second), second.positions()) == ([("a", -5, False, None)], {3: 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_state_tells_why_it_cannot_be_continued(state, tmp_path):
    assert state.why_useless("topic-1", NOW + timedelta(days=28), MONTH) is None
    assert "made again" in state.why_useless("topic-2", NOW, MONTH)
    assert "older than" in state.why_useless("topic-1", NOW + timedelta(days=30), MONTH)
    with FileState(tmp_path / "other.sqlite") as fresh:
        assert "none yet" in fresh.why_useless("topic-1", NOW, MONTH)
    with sqlite3.connect(tmp_path / "topic.sqlite") as raw:
        raw.execute("UPDATE facts SET value = '0' WHERE name = 'form'")
    raw.close()
    assert "older form" in state.why_useless("topic-1", NOW, MONTH)


def test_rebuild_that_was_broken_off_starts_over(tmp_path):
    with FileState(tmp_path / "topic.sqlite") as state:
        state.start_over("topic-1")
        state.apply([Published("a", 1, 1, gone=False)], {0: 1})
        assert state.why_useless("topic-1", NOW, MONTH) is not None


def test_key_in_doubt_keeps_its_version_and_loses_its_fingerprint(state):
    state.apply([Published("a", 1, 10, gone=False)], {})
    state.apply([], {}, ["a", "unknown"])
    assert rows(state) == [("a", None, False, None)]


def test_print_is_kept_until_the_key_changes_or_is_in_doubt(state):
    state.apply([Published(key, 1, 10, gone=False, print=7) for key in "abcd"], {})
    state.remember(["b", "d"], [8, 9])
    state.apply([Published("c", 1, 11, gone=False)], {})
    state.apply([], {}, ["d"])
    assert state.known()["print"].to_list() == [7, 8, None, None]


def test_state_of_the_time_before_prints_is_read_on(tmp_path):
    path = tmp_path / "topic.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE published (key TEXT PRIMARY KEY, hash INTEGER, version INTEGER, gone INTEGER)")
        raw.execute("INSERT INTO published VALUES ('a', 1, 10, 0)")
    raw.close()
    with FileState(path) as state:
        assert rows(state) == [("a", 1, False, None)]


def test_file_that_is_no_state_is_named_with_a_remedy(tmp_path):
    path = tmp_path / "topic.sqlite"
    path.write_text("this is no database, however long it may be " * 50)
    with pytest.raises(PathUnwritable, match="remove the file"):
        FileState(path).__enter__()
    with pytest.raises(PathUnwritable, match="before it was opened"):
        FileState(path).positions()
