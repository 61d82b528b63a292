"""The file of figures that a command which ends leaves behind."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bus import metrics
from bus.errors import BusError, ConfigInvalid, FileRefused, PathUnwritable
from bus.metrics_file import metrics_kept, together

ADD = """
import sys
from pathlib import Path
from bus import metrics
from bus.metrics_file import metrics_kept
for _ in range(20):
    with metrics_kept(Path(sys.argv[1])):
        metrics.refused.labels("r", "H29.5", "codes").inc()
"""


def told(path):
    """Values by name and by the values of the labels, those in the order of their names."""
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {
        (s.name, *(value for _, value in sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def test_counters_go_on_from_run_to_run_and_gauges_stand_until_they_are_set(tmp_path):
    path = tmp_path / "run.prom"
    for moment in (100, None):
        with metrics_kept(path):
            metrics.refused.labels("test.kept", "H29.5", 'mã "lạ"').inc(3)
            if moment:
                metrics.run_finished.labels("test.kept", "H29.5").set(moment)
        metrics.refused.labels("test.kept", "H29.5", 'mã "lạ"').inc(50)  # outside of any run
        metrics.run_finished.remove("test.kept", "H29.5") if moment else None
    found = told(path)
    assert found["lienthong_refused_rows_total", "H29.5", 'mã "lạ"', "test.kept"] == 6
    assert found["lienthong_export_published_timestamp_seconds", "H29.5", "test.kept"] == 100
    assert {name.partition("_")[0] for name, *_ in found} == {"lienthong"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_run_that_fails_is_counted_too(tmp_path):
    path = tmp_path / "run.prom"

    @metrics_kept(path)
    def run():
        metrics.runs.labels("test.failed", "H29.5", "file_refused").inc()
        raise FileRefused("half-written")

    with pytest.raises(FileRefused, match="half-written"):
        run()
    assert told(path)["lienthong_export_runs_total", "H29.5", "file_refused", "test.failed"] == 1


def test_figure_of_a_run_is_added_to_what_was_kept():
    key, gauge = ("c_total", ()), ("g", ())
    counters = frozenset({"c_total"})
    assert together({}, {}, {}, counters) == {}
    assert together({key: 5}, {key: 2}, {key: 3, gauge: 7}, counters) == {key: 6, gauge: 7}
    assert together({key: 5, gauge: 7}, {}, {}, counters) == {key: 5, gauge: 7}


def test_runs_at_the_same_time_lose_no_figure(tmp_path):
    path = tmp_path / "run.prom"
    command = [sys.executable, "-c", ADD, str(path)]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert told(path)["lienthong_refused_rows_total", "H29.5", "codes", "r"] == 60


def test_damaged_file_is_begun_anew(tmp_path):
    path = tmp_path / "run.prom"
    path.write_text("lienthong_{{{ nothing\n")
    with metrics_kept(path):
        metrics.refused.labels("test.anew", "H29.5", "codes").inc()
    assert told(path)["lienthong_refused_rows_total", "H29.5", "codes", "test.anew"] == 1


@pytest.mark.parametrize(
    ("name", "content", "error", "cause"),
    [
        ("run.txt", None, ConfigInvalid, "end in .prom"),
        ("nowhere/run.prom", None, PathUnwritable, "nowhere: cannot be written"),
        ("run.prom", "backup_seconds 7\n", ConfigInvalid, "other programs' figures"),
        ("run.prom", Path, PathUnwritable, "Is a directory"),
    ],
)
def test_file_that_cannot_be_kept_is_told_before_the_run(tmp_path, name, content, error, cause):
    path = tmp_path / name
    if content is Path:
        path.mkdir()
    elif content:
        path.write_text(content)
    with pytest.raises(error, match=cause) as raised, metrics_kept(path):
        pytest.fail("the run has begun")
    assert isinstance(raised.value, BusError)
