"""Which files of an inbox are complete, and what becomes of them on disk."""

import json
import os

import pytest

from bus.errors import ConfigInvalid, PathUnwritable
from producers.inbox.folder import entries, prepare, put_done, put_failed, take
from producers.inbox.settings import InboxSettings, Route
from producers.inbox.waiting import Entry, Terms, complete, exports

STILL = Terms(now=1000, settle_seconds=10, companion=False)
SAID = Terms(now=1000, settle_seconds=10, companion=True)


def names(found):
    return [entry.name for entry in found]


def test_file_is_complete_once_nobody_has_touched_it_for_long_enough_whatever_its_own_time_says():
    given = [Entry("a.csv", 5, 990), Entry("b.csv", 5, 991), Entry("c.csv", 2000, 980)]
    assert names(complete(given, STILL)) == ["a.csv", "c.csv"]


def test_companion_says_that_a_file_is_complete_unless_it_is_older_than_the_file():
    given = [Entry("a.csv", 5, 999), Entry("a.csv.ok", 0, 999), Entry("b.csv", 5, 999), Entry("b.done", 0, 998)]
    assert names(complete(given, STILL)) == names(complete(given, SAID)) == ["a.csv"]
    assert names(complete([Entry("a.csv", 5, 0)], SAID)) == []
    assert names(complete([Entry("a.csv", 5, 0), Entry("a.ok", 0, 1)], SAID)) == ["a.csv"]


def test_files_are_taken_in_the_order_in_which_they_were_made():
    given = [Entry("b.csv", 2, 3), Entry("c.csv", 1, 9), Entry("a.csv", 2, 5)]
    assert names(complete(given, STILL)) == ["c.csv", "a.csv", "b.csv"]


def test_what_is_being_written_under_another_name_and_helpers_are_no_exports():
    others = [".hidden.csv", "a.csv.part", "a.csv.PART", "~$a.xlsx", "a.tmp", "a.csv~", "a.csv.ok", "a.filepart"]
    assert names(exports(Entry(name, 0, 0) for name in [*others, "a.csv"])) == ["a.csv"]


@pytest.fixture
def inbox(tmp_path):
    prepare(tmp_path)
    return tmp_path


def put(inbox, content="x", name="a.csv", made=1_000_000):
    file = inbox / name
    file.write_text(content)
    os.utime(file, (made, made))
    [entry] = entries(inbox)
    return take(inbox, entry)


def test_file_goes_to_its_report_under_its_time_and_nothing_is_overwritten(inbox):
    for content in ("first", "second"):
        taken = put(inbox, content)
        taken.report.write_text(content)
        put_done(taken)
    found = {path.name: path.read_text() for path in (inbox / "done").iterdir()}
    assert found == {
        "19700112T134640-a.csv": "first",
        "19700112T134640-a.csv.report.json": "first",
        "19700112T134640.2-a.csv": "second",
        "19700112T134640.2-a.csv.report.json": "second",
    }
    assert entries(inbox) == []


def test_failed_file_takes_its_reports_along_and_the_report_says_why(inbox):
    taken = put(inbox)
    taken.report.write_text('{"rows": 3}')
    taken.quarantine.write_text("_line\n")
    report = put_failed(taken, {"error": "confirmation_needed"})
    told = json.loads(report.read_text())
    assert (told["rows"], told["error"], told["file"]) == (3, "confirmation_needed", "a.csv")
    assert told["quarantine"] == str(inbox / "failed" / "19700112T134640-a.csv.quarantine.csv")
    assert list((inbox / "done").iterdir()) == []
    assert len(list((inbox / "failed").iterdir())) == 3


@pytest.mark.parametrize("cut", ["", '{"rows": '])
def test_report_that_a_kill_cut_off_is_written_anew(inbox, cut):
    taken = put(inbox)
    taken.place("failed", "report.json").write_text(cut)
    report = put_failed(taken, {"error": "file_refused"})
    assert json.loads(report.read_text())["error"] == "file_refused"
    assert report.stat().st_mode & 0o777 == 0o600


def test_companion_goes_with_its_file(inbox):
    taken = put(inbox)
    (inbox / "a.ok").touch()
    put_done(taken)
    assert entries(inbox) == []


def test_file_that_changed_after_it_was_taken_is_known(inbox):
    taken = put(inbox)
    assert taken.untouched
    taken.file.write_text("longer")
    assert not taken.untouched
    taken.file.unlink()
    assert not taken.untouched


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PathUnwritable, match="file"):
        prepare(tmp_path / "file")


def test_route_takes_names_by_pattern_and_stays_inside_the_inbox():
    route = Route(register="resident.identity", pattern="Identity*.csv")
    assert [route.takes(name) for name in ("IDENTITY-1.CSV", "identity.txt")] == [True, False]
    for folder in ("/etc", "../x"):
        with pytest.raises(ValueError, match="inside the inbox"):
            Route(register="resident.identity", folder=folder)
    settings = InboxSettings(agency="H29.5", route=[{"register": "resident.identity", "delimiter": "ab"}])
    with pytest.raises(ConfigInvalid, match=r"route for resident\.identity: delimiter"):
        settings.job(settings.route[0], *["x"] * 3)


def test_quarantine_file_is_taken_under_the_name_of_its_export():
    route = Route(register="resident.identity", pattern="identity*.csv")
    once = "20260706T020000-identity-07.csv.quarantine.csv"
    for name in (once, f"20260707T080000.2-{once}", f"20260707T080000-{once}.quarantine.csv"):
        assert route.takes(name)
        assert not Route(register="resident.identity", pattern="cases*").takes(name)
    assert not route.takes("notes-identity-07.csv")
