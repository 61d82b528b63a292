"""What the generated models share: strict, frozen, checked by the register's own rules, silent about values."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bus.errors import RegisterUnknown
from bus.names import RegisterName
from bus.schema.avsc import load_register
from bus.schema.fields import Record
from bus.schema.rules import scalar_refusals


def _from_iso(read: Callable[[str], Any]) -> BeforeValidator:
    """JSON has no dates: their ISO 8601 text is taken, a number never."""

    def convert(value: Any) -> Any:
        try:
            return read(value) if isinstance(value, str) else value
        except ValueError:
            return value

    return BeforeValidator(convert)


Day = Annotated[dt.date, _from_iso(dt.date.fromisoformat)]
Moment = Annotated[dt.datetime, _from_iso(dt.datetime.fromisoformat)]


class StatePart(BaseModel):
    """A record inside a state. Raises pydantic's ``ValidationError`` with fields and rules, never with a value."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )
    RECORD: ClassVar[Record]

    @model_validator(mode="wrap")
    @classmethod
    def _follows_the_rules(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            made = handler(value)
        except ValidationError as error:
            told = error.errors(include_url=False, include_context=False, include_input=False)
            raise _refused(cls, [_detail(e["type"], e["msg"], e["loc"]) for e in told]) from None
        values = {field.name: getattr(made, field.name) for field in cls.RECORD.scalars}
        found = [_detail(r.rule, r.expected, (r.field,)) for r in scalar_refusals(cls.RECORD, values)]
        if found:
            raise _refused(cls, found)
        return made


class RegisterState(StatePart):
    """A register's whole state."""

    REGISTER: ClassVar[RegisterName]
    VERSION: ClassVar[int]

    def to_state(self) -> dict[str, Any]:
        """The state as plain values, as a publisher takes it."""
        return self.model_dump()


def record_of(register: str, version: int, name: str) -> Record:
    """The record with this name in a register's shipped schema."""
    schema = load_register(register)[version - 1]
    found = next((record for record in records(schema.state) if record.name == name), None)
    if found is None:
        raise RegisterUnknown(f"{register} v{version} has no record {name}; generate the models anew")
    return found


def records(record: Record) -> list[Record]:
    """The record and all inside it, inner ones first, each once."""
    found: list[Record] = []
    for field in record.nested:
        inner = field.record or (field.items.fields[0].record if field.items else None)
        found += [r for r in (records(inner) if inner else []) if r not in found]
    return [*found, record]


def _detail(rule: str, expected: str, place: tuple[int | str, ...]) -> InitErrorDetails:
    told = PydanticCustomError(rule, "{expected}", {"expected": expected})
    return InitErrorDetails(type=told, loc=place, input=None)


def _refused(model: type[BaseModel], details: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data(model.__name__, details, hide_input=True)
