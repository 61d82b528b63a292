"""Comparing an export with what is published."""

import io

import polars as pl
import pytest

from bus.catalog import load_catalog
from bus.schema.avsc import load_register
from producers.filediff.check import check
from producers.filediff.diff import KEY, LINE, VERDICT, Before, Tally, changes, plan
from producers.filediff.fingerprint import fingerprints
from producers.filediff.parse import parse
from producers.filediff.reader import CsvReader
from producers.filediff.state import KNOWN
from tests.exports import as_csv
from tests.producing import person

REGISTER = "resident.identity"
SCHEMA, ENTRY = load_register(REGISTER)[-1], load_catalog().register(REGISTER)


def key(number):
    return person(number)["personal_id"]


def published(*rows, gone=()):
    """The state after these rows were published and these numbers deleted."""
    states = pl.DataFrame(rows, schema=parsed(rows).frame.schema)
    live = pl.DataFrame(
        {"key": states["personal_id"], "hash": fingerprints(states, SCHEMA), "gone": False, "print": None}, schema=KNOWN
    )
    dead = pl.DataFrame([(key(number), None, True, None) for number in gone], schema=KNOWN, orient="row")
    return pl.concat([live, dead]).sort("key")


def parsed(rows):
    [chunk] = CsvReader(io.BytesIO(as_csv(rows).encode()), "export.csv").chunks()
    return parse(chunk, SCHEMA)


def compared(rows, known, *, partial=False, chunk_rows=3):
    """Verdict per line, and the plan."""
    tally, verdicts, before = Tally(), {}, Before(known)
    for chunk in CsvReader(io.BytesIO(as_csv(rows).encode()), "export.csv", rows=chunk_rows).chunks():
        checked = check(chunk, parse(chunk, SCHEMA), ENTRY, SCHEMA, "H29.5")
        prints = pl.repeat(None, len(checked.lines), dtype=pl.Int64(), eager=True)
        judged = changes(checked, prints, before, "personal_id", SCHEMA)
        tally.add(checked, judged, before, len(chunk))
        verdicts |= dict(judged.select(LINE, VERDICT).iter_rows())
        assert judged[KEY].to_list() == judged["personal_id"].to_list()
    return verdicts, plan(tally, before, "personal_id", partial=partial)


def test_rows_are_new_changed_unchanged_or_back_from_the_dead_and_the_rest_is_gone():
    known = published(person(1), person(2), person(3), gone=[4, 9])
    rows = [person(5), person(3), person(2, full_name="Lý Đổi"), person(4)]
    verdicts, made = compared(rows, known)
    assert verdicts == {2: "new", 3: "unchanged", 4: "changed", 5: "new"}
    assert (made.new, made.changed, made.unchanged, made.gone.to_list()) == (2, 1, 1, [key(1)])
    assert (made.published, made.withheld, made.absent) == (3, None, len(made.gone))
    assert made.share_gone == pytest.approx(1 / 3)


def test_first_export_deletes_nobody_and_an_empty_state_has_no_share():
    _, made = compared([person(1)], KNOWN.to_frame())
    assert (made.new, len(made.gone), made.share_gone) == (1, 0, 0.0)


def test_partial_export_deletes_nobody():
    _, made = compared([person(1)], published(person(1), person(2)), partial=True)
    assert (len(made.gone), made.withheld, made.absent) == (0, None, 0)


def test_refused_row_keeps_its_person():
    _, made = compared([person(1, sex="boy")], published(person(1)))
    assert (len(made.gone), made.refused["reason"].to_list()) == (0, ["codes"])


def test_key_that_contradicts_the_row_counts_as_present_if_known_and_as_a_stranger_if_not():
    known = published(person(1), person(2))
    rows = [person(1, birth_date="1986-03-12"), person(2)]
    assert compared(rows, known)[1].withheld is None
    rows = [person(7, birth_date="1986-03-12"), person(2)]
    _, made = compared(rows, known)
    assert (made.withheld, len(made.gone), made.absent) == ("the key of 1 row cannot be trusted", 0, 1)


def test_doubled_key_is_refused_in_every_row_across_chunks_and_counts_nowhere():
    rows = [person(1), person(2), person(3), person(4), person(1, full_name="Hồ Khác")]
    _, made = compared(rows, published(person(1), person(2)))
    assert made.twice.to_list() == [key(1)]
    assert made.refused.select("line", "reason").rows() == [(2, "duplicate"), (6, "duplicate")]
    assert (made.new, made.changed, made.unchanged, len(made.gone)) == (2, 0, 1, 0)


def test_state_that_could_not_be_read_is_published_again():
    known = published(person(1)).with_columns(pl.lit(None, pl.Int64).alias("hash"))
    assert compared([person(1)], known)[0] == {2: "changed"}
