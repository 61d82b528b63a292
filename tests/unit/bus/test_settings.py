"""How wrong settings are told: each by the key or option that was given, and nothing that is not so."""

import pytest
from pydantic import Field, ValidationError, model_validator

from bus.errors import ConfigInvalid
from bus.settings import Settings, explain, explain_options, load_toml


class Stop(Settings):
    name: str
    wait_seconds: int = 1


class Line(Settings):
    stop: tuple[Stop, ...] = Field(min_length=1)
    first: int = 0
    last: int = 9

    @model_validator(mode="after")
    def _forwards(self) -> "Line":
        if self.first > self.last:
            raise ValueError("a line runs from its first to its last")
        return self


def refused(**given):
    with pytest.raises(ValidationError) as told:
        Line.model_validate(given)
    return told.value


def test_broken_item_does_not_make_its_list_empty():
    error = refused(stop=[{"name": "Chợ", "wait_seconds": "soon"}])
    assert explain(error).startswith("stop.0.wait_seconds: Input should be a valid integer")
    assert "at least" not in explain(error)


def test_list_that_is_empty_is_told():
    assert explain(refused(stop=[])).startswith("stop: Tuple should have at least 1 item")


def test_what_no_single_key_is_to_blame_for_goes_by_the_word_that_is_given_or_by_none():
    error = refused(stop=[{"name": "Chợ"}], first=3, last=2)
    message = "a line runs from its first to its last"
    assert [explain(error), explain(error, "line"), explain(error, None)] == [
        f"file: {message}",
        f"line: {message}",
        message,
    ]
    assert explain_options(error) == message


def test_options_go_by_the_names_under_which_they_are_typed():
    error = refused(stop=[{"name": "Chợ", "wait_seconds": "soon"}], first="x")
    told = explain_options(error, {"first": "from"}).split("; ")
    assert [each.split(": ")[0] for each in told] == ["option --wait-seconds", "option --from"]


def test_value_is_never_repeated(tmp_path):
    file = tmp_path / "line.toml"
    file.write_text('first = "hunter2"\n[[stop]]\nname = "a"\n')
    with pytest.raises(ConfigInvalid, match="first: Input should be") as told:
        load_toml(file, Line)
    assert "hunter2" not in str(told.value)
