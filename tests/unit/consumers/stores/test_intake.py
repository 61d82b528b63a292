import pytest

from bus.errors import RowsRefused
from consumers.stores.intake import LONGEST_KEY, take_in
from consumers.stores.shape import stored_columns
from tests.contract.stores.building import IDENTITY, TAX, delete, frame, merge, upsert


def test_puts_and_deletes_are_told_apart():
    intake = take_in(IDENTITY, frame(IDENTITY, upsert("a", 1), delete("b", 2), merge("c", 3, "a")))
    assert intake.puts["personal_id"].to_list() == ["a", "c"]
    assert intake.puts.columns == list(stored_columns(IDENTITY))
    assert intake.deletes.select("key", "version").rows() == [("b", 2)]
    assert intake.height == 3


def test_batch_without_rows_is_taken():
    assert take_in(IDENTITY, frame(IDENTITY)).height == 0


@pytest.mark.parametrize("text", ['"\\\\u0000"', '["a\\\\\\\\u0000"]', '{"\\\\u0000":1}'])
def test_backslash_before_u0000_is_not_nul(text):
    assert take_in(IDENTITY, frame(IDENTITY, upsert("a", 1, address=text))).height == 1


@pytest.mark.parametrize("text", ['"\\u0000"', '["a\\\\\\u0000"]', '{"\\u0000":1}'])
def test_escaped_nul_is_refused_wherever_it_stands(text):
    with pytest.raises(RowsRefused, match="address holds a NUL character"):
        take_in(IDENTITY, frame(IDENTITY, upsert("a", 1, address=text)))


def test_longest_key_is_taken_and_a_longer_one_refused_also_as_the_subjects():
    assert take_in(TAX, frame(TAX, upsert("k" * LONGEST_KEY, 1, enterprise_code="e" * LONGEST_KEY))).height == 1
    with pytest.raises(RowsRefused, match="enterprise_code"):
        take_in(TAX, frame(TAX, upsert("k", 1, enterprise_code="e" * (LONGEST_KEY + 1))))


def test_refusal_names_the_field_and_not_the_value():
    with pytest.raises(RowsRefused) as refused:
        take_in(IDENTITY, frame(IDENTITY, upsert("079085000001", 1, full_name="An\0")))
    assert "full_name" in str(refused.value)
    assert "079085000001" not in str(refused.value)
    assert "An" not in str(refused.value)
