"""The history of runs: whatever a report counts, bounded, its trend told."""

import json
import re
import stat

import pytest

from bus.cli import main
from bus.errors import PathUnwritable
from producers.quality import History, Run, counters, history_file
from producers.quality.run import deltas, names


def report(rows=10, register="resident.identity", **more):
    return {"register": register, "agency": "H29.5", "started_at": "2026-07-06T02:00:00+00:00", "rows": rows} | more


def test_counters_are_the_numbers_of_a_report_whatever_it_counts():
    told = report(7, sent=True, seconds=1.5, refused={"codes": 2, "why": "x"}, cleaned={"phones": 3}, file="a.csv")
    assert counters(told) == {"rows": 7, "seconds": 1.5, "refused.codes": 2, "cleaned.phones": 3}


def test_deltas_take_an_absent_counter_for_nought_and_a_first_run_has_none():
    first = Run(1, "", "r", "a", report(10, refused={"codes": 2}))
    second = Run(2, "", "r", "a", report(8, refused={"dates": 1}))
    assert deltas(second, first) == {"rows": -2, "refused.dates": 1, "refused.codes": -2}
    assert deltas(first, None) == {}
    assert names([first, second]) == ["rows", "refused.codes", "refused.dates"]


def test_history_keeps_the_newest_runs_of_each_register_and_only_its_owner_reads_it(tmp_path):
    path = history_file(tmp_path)
    kept = History(path, keep=3)
    assert kept.runs() == []
    for rows in range(5):
        kept.append(report(rows))
    kept.append(report(9, register="dossier.case"))
    assert [run.report["rows"] for run in kept.runs("resident.identity")] == [4, 3, 2]
    assert [run.register for run in kept.runs(limit=2)] == ["dossier.case", "resident.identity"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_history_that_is_no_database_is_named_with_a_remedy(tmp_path):
    history_file(tmp_path).write_text("no database " * 100)
    with pytest.raises(PathUnwritable, match="remove the file"):
        History(history_file(tmp_path)).append(report())


@pytest.fixture
def quality(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(["quality", *arguments, "--state", str(tmp_path)])
        out, error = capsys.readouterr()
        return int(exited.value.code or 0), out, error

    return run


def test_trend_shows_numbers_and_how_they_moved(quality, tmp_path):
    for rows, wrong in ((1000, 12), (1010, 7), (1020, 7)):
        History(history_file(tmp_path)).append(report(rows, refused={"codes": wrong}))
    _, out, _ = quality("history", "--last", "2")
    assert re.search(r"rows +│ +1,010 \(\+10\) │ +1,020 \(\+10\)", out)
    assert re.search(r"refused: codes +│ +7 \(-5\) │ +7 ", out)
    told = json.loads(quality("history", "--json")[1])["runs"]
    assert [(run["counters"]["rows"], run["deltas"].get("refused.codes")) for run in told] == [
        (1020, 0),
        (1010, -5),
        (1000, None),
    ]


def test_run_that_sent_nothing_or_held_some_subjects_only_is_marked(quality, tmp_path):
    history = History(history_file(tmp_path))
    for marks in ({"sent": True, "partial": False}, {"sent": False, "partial": False}, {"sent": True, "partial": True}):
        history.append(report(1000, gone=400) | marks)
    _, out, _ = quality("history")
    assert re.search(r"┃ +2026-07-06 02:00 ┃ +nothing sent ┃ +partial ┃", out)
    assert "nothing sent" not in quality("show")[1]
    told = json.loads(quality("history", "--json")[1])["runs"]
    assert [run["marks"] for run in told] == [["partial"], ["nothing sent"], []]


def test_last_run_is_shown_with_its_files(quality, tmp_path):
    History(history_file(tmp_path)).append(report(1000, quarantine="/x/quarantine.csv"))
    History(history_file(tmp_path)).append(report(900))
    History(history_file(tmp_path)).append(report(5, register="dossier.case", quarantine="/x/quarantine.csv"))
    _, out, _ = quality("show")
    assert "dossier.case by H29.5" in out
    assert "quarantine: /x/quarantine.csv" in out
    told = json.loads(quality("show", "--register", "resident.identity", "--json")[1])
    assert (told["report"]["rows"], told["deltas"]["rows"]) == (900, -100)


def test_history_without_runs_ends_with_3_and_says_what_to_do(quality):
    code, _, error = quality("history", "--register", "resident.identity")
    assert (code, "publish an export" in error, error.count("\n")) == (3, True, 1)
