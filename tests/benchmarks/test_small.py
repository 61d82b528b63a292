"""The benchmark runs from end to end at tiny sizes and writes sane figures. Nothing here says anything about speed."""

import json
import subprocess
import sys

import pytest

from tests.benchmarks.figures import FIGURES, flat
from tests.benchmarks.latency import Watch
from tests.benchmarks.lookups import percentile
from tests.benchmarks.measures import MEASURES
from tests.benchmarks.profile import shares
from tests.benchmarks.replica import ROOT
from tests.benchmarks.rounds import Ratio, Round, summed_up, times, wanted_by
from tests.benchmarks.took import Took
from tests.stack import stack_directory

PUBLISHED_KEYS = {
    "pg_vs_debezium", "pg_vs_copy", "sqlite_vs_executemany", "columnar_vs_row", "pg_update_vs_debezium", "publish_vs_send",
    "replica_rss_mb", "pg_scaling_4x", "sqlite_scaling_4x", "latency_p50_ms", "latency_p99_ms", "lookup_per_s",
    "lookup_p99_ms", "poison_vs_clean",
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float | None]:
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    with stack_directory() as directory:
        command = [sys.executable, "-m", "tests.benchmarks", "--small", "--out", str(out), "--dir", str(directory)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text(encoding="utf-8"))


def test_every_figure_of_the_table_is_found(found):
    assert found.keys() >= PUBLISHED_KEYS
    assert [key for key in PUBLISHED_KEYS if found[key] is None] == []


def test_every_figure_is_a_positive_finite_number(found):
    assert [key for key, value in found.items() if not 0 < value < float("inf")] == []


def test_ratio_agrees_with_the_absolute_figures_of_its_round(found):
    ratio = found["debezium_events_per_s"] * found["pg_vs_debezium"]
    assert ratio == pytest.approx(found["pg_events_per_s"], rel=0.01)
    assert found["latency_p50_ms"] <= found["latency_p99_ms"]


def test_no_key_is_promised_twice_and_none_is_forgotten():
    assert {figure.key for figure in FIGURES} == PUBLISHED_KEYS
    assert sorted(key for measure in MEASURES for key in measure.keys) == sorted(PUBLISHED_KEYS)


def test_what_was_not_run_is_null():
    assert flat({"pg_vs_copy": 0.6, "copy_rows_per_s": 123_456.7}) == {
        **dict.fromkeys((figure.key for figure in FIGURES), None),
        "pg_vs_copy": 0.6,
        "copy_rows_per_s": 123_460.0,
    }


def played(*seconds: tuple[float, float]) -> list[Round]:
    rounds = []
    for ours, theirs in seconds:
        each = Round({"ours", "theirs"}, lambda _text: None)
        each.run("ours", lambda ours=ours: Took(100, ours))
        each.run("theirs", lambda theirs=theirs: Took(100, theirs))
        rounds.append(each)
    return rounds


def test_ratio_is_taken_within_a_round_and_its_median_told():
    rounds = played((1, 2), (4, 4), (10, 90))  # the ratio of the medians would be 1
    found = summed_up(rounds, [Ratio("r", "ours", "theirs"), Ratio("t", "theirs", "ours", times)])
    assert found["r"] == pytest.approx(2)
    assert found["t"] == pytest.approx(2)
    assert found["ours_events_per_s"] == pytest.approx(25)


def test_contender_that_nobody_asked_for_does_not_run():
    this = Round(wanted_by([Ratio("r", "ours", "theirs")]), lambda _text: None)
    this.run("third", lambda: pytest.fail("ran"))
    assert this.took == {}


def test_percentile_is_the_smallest_value_that_so_many_do_not_exceed():
    assert percentile([5, 1, 4, 2, 3], 50) == 3
    assert percentile(range(1, 101), 99) == 99
    assert percentile([7], 99) == 7


def test_lines_cut_in_two_are_heard_whole():
    watch = Watch()
    watch.told(b"a 10\nb 2")
    assert watch.under_way == {"a": 10}
    watch.told(b"0\n")
    assert watch.under_way == {"a": 10, "b": 20}
    watch.seen(iter(["a"]))
    assert (list(watch.under_way), len(watch.took)) == (["b"], 1)


def test_profile_counts_threads_without_frames_and_names_what_it_can():
    stacks = [
        "thread (7): store;run (consumers/thread.py:30);executemany (sqlite3.py:1) 3",
        "thread (7);run (consumers/thread.py:31);executemany (sqlite3.py:1) 4",
        "thread (9) 2",
    ]
    columns = [list(column.cells) for column in shares("sqlite", stacks).columns]
    assert columns[0] == ["store", "9"]
    assert columns[1] == ["run (consumers/thread.py)", "-"]
    assert columns[3] == ["77.8%", "22.2%"]
