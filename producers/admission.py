"""What may go out: a state that keeps its register's rules, under a key that its writer may speak of. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bus.catalog import Register
from bus.errors import StateInvalid
from bus.names import AgencyCode
from bus.schema.fields import RegisterSchema
from bus.schema.rules import Refusal, refusals

State = Mapping[str, Any] | BaseModel
"""A register's state: a mapping of its fields, or the generated model."""

MAX_EVENT_BYTES = 900_000  # below Kafka's own limits of 1 MiB per request and per message, headers included


def plain(state: State) -> Mapping[str, Any]:
    return state.model_dump() if isinstance(state, BaseModel) else state


def state_refusals(
    register: Register, schema: RegisterSchema, agency: AgencyCode, state: Mapping[str, Any]
) -> list[Refusal]:
    """Everything that keeps this state from being published, the key's owner included; empty if it may go out."""
    found = refusals(schema, state)
    key = state.get(register.key_field)
    if isinstance(key, str) and not any(each.field == register.key_field for each in found):
        found += _foreign(register, agency, key)
    return found


def key_refusals(register: Register, schema: RegisterSchema, agency: AgencyCode, key: str) -> list[Refusal]:
    """The same for a key alone, as a delete or a merge names one."""
    field = next(field for field in schema.fields if field.name == register.key_field)
    broken = [Refusal(field.name, rule.name, rule.expected) for rule in field.rules if not rule.holds(key)]
    return broken[:1] or _foreign(register, agency, key)


def refuse(register: Register, found: Sequence[Refusal], at: str = "") -> None:
    """Raise StateInvalid where something is refused: fields and rules in one line, never a value."""
    if found:
        told = "; ".join(f"{each.field}: {each.rule}: expected {each.expected}" for each in found)
        raise StateInvalid(f"{register.name}{at}: {told}")


def own_key_start(agency: AgencyCode) -> str:
    return f"{agency}-"


def foreign_key(register: Register, agency: AgencyCode) -> Refusal:
    expected = f"a key that starts with {own_key_start(agency)}; leave another agency's subjects to that agency"
    return Refusal(register.key_field, "writer", expected)


def _foreign(register: Register, agency: AgencyCode, key: str) -> list[Refusal]:
    if register.key_starts_with_writer and not key.startswith(own_key_start(agency)):
        return [foreign_key(register, agency)]
    return []
