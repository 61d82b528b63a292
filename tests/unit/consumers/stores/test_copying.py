import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from consumers.stores.postgres.copying import copy_text, text_columns

MEANING = {"\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t"}


def read(field: str) -> str | None:
    """A field as PostgreSQL reads it (manual, COPY, text format)."""
    if field == "\\N":
        return None
    out, rest = "", field
    while rest:
        taken = 2 if rest[0] == "\\" else 1
        out += MEANING[rest[:2]] if taken == 2 else rest[0]
        rest = rest[taken:]
    return out


texts = st.one_of(
    st.none(),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    st.text("\\\n\r\tN.\"', ", max_size=5),
)


@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_any_text_is_read_back_as_it_was(rows):
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    lines = copy_text(frame).decode().split("\n")
    assert lines.pop() == ""
    assert [tuple(map(read, line.split("\t"))) for line in lines] == rows


@given(rows=st.lists(st.tuples(st.binary(max_size=4), st.booleans(), st.integers(-(2**63), 2**63 - 1))))
def test_columns_as_text_say_the_same_as_copy(rows):
    frame = pl.DataFrame(rows, schema={"a": pl.Binary, "b": pl.Boolean, "c": pl.Int64}, orient="row")
    lines = copy_text(frame).decode().split("\n")[:-1]
    assert [[read(field) for field in line.split("\t")] for line in lines] == [
        list(row) for row in zip(*text_columns(frame), strict=True)
    ]
