"""The page on cleaning says what is so."""

import re
from pathlib import Path

import polars as pl
import pytest

from producers.cleaning import CLEANERS, PARSERS
from producers.mapping import document
from tests.benchmarks import cleaning

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "cleaning.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["police", "residence"])
def test_page_shows_the_example_that_is_shipped(name):
    assert (DOCS / "examples" / f"{name}.toml").read_text(encoding="utf-8").strip() in PAGE


@pytest.mark.parametrize("rules", [CLEANERS, PARSERS])
def test_page_lists_every_rule_as_it_describes_itself(rules):
    for name, steps in rules.items():
        [row] = re.findall(rf"^\| `{name}` \| (.*) \|$", PAGE, re.MULTILINE)
        assert row == steps[0].says if len(steps) == 1 else all(f"`{step.name}`" in row for step in steps)


@pytest.mark.parametrize("part", [document.SourceForm, document.FieldRule])
def test_page_explains_every_key(part):
    for name, field in part.model_fields.items():
        assert f"| `{field.alias or name}` |" in PAGE


def test_program_on_the_page_runs(monkeypatch):
    monkeypatch.chdir(DOCS.parent)
    columns = ["Số CCCD", "HO", "DEM", "TEN", "NOI_SINH", "QUOC_TICH", "NGAY_SINH", "GT", "NGAY_CAP"]
    row = ["079085000001", "Lª", None, "Lîi", None, None, "1985", "1", None]
    names = {"frame": pl.DataFrame([row], schema=dict.fromkeys(columns, pl.String()), orient="row")}
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(program, names)  # noqa: S102 - what the page tells people to run
    assert names["cleaned"].frame["full_name"].to_list() == ["Lê Lợi"]
    assert names["unused"] == ()


def test_benchmark_of_the_page_measures_rows_that_are_all_good():
    assert all(rate > 0 for rate in cleaning.measure(rows=200).values())
