"""The code lists that hold: those that are published, over those in the wheel, in force on one day. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from bus.names import RegisterName
from bus.schema.codes import Code, CodeList

SUBJECT = "code."
OPTIONAL = ("kind", "successor_code", "succession")


@dataclass(frozen=True, slots=True)
class Codebook:
    """All code lists by name, and where they come from."""

    lists: Mapping[str, CodeList]
    """In force on ``day``; without one, those whose validity has no end."""
    day: date | None = None
    published: frozenset[str] = frozenset()
    """Names of the lists that are as published; the others are as shipped."""
    where: str | None = None
    """Whence the published ones are, and how old, in words."""
    missed: str | None = None
    """Why none, or none newer, could be read where some were asked for."""

    @property
    def shipped(self) -> bool:
        """Whether these are the wheel's own lists and nothing else."""
        return self.day is None and not self.published

    @property
    def rules(self) -> Mapping[str, CodeList] | None:
        """For whoever loads a register's rules; None where the lists beside its schema hold anyway."""
        return None if self.shipped else self.lists

    def told(self) -> str:
        """One line for people: which lists are used."""
        day = f", in force on {self.day.isoformat()}" if self.day else ""
        if not self.published:
            why = f"; {self.missed}" if self.missed else ""
            return f"code lists as shipped{day}{why}"
        names = ", ".join(sorted(self.published))
        why = f"; {self.missed}" if self.missed else ""
        return f"code lists {names} as published ({self.where}), the others as shipped{day}{why}"


def codebook(
    base: Mapping[str, CodeList],
    states: Mapping[RegisterName, Iterable[Mapping[str, Any]]],
    day: date | None,
    *,
    where: str | None = None,
    missed: str | None = None,
) -> Codebook:
    """``base`` with each list replaced of which there are published states. An empty register replaces nothing."""
    made = {
        name: found
        for register, rows in states.items()
        if (found := _list(register, tuple(rows), base)).entries
        for name in [found.name]
    }
    lists = {name: each.on(day) if day else each for name, each in {**base, **made}.items()}
    return Codebook(lists, day, frozenset(made), where if made else None, missed)


def _list(register: RegisterName, states: tuple[Mapping[str, Any], ...], base: Mapping[str, CodeList]) -> CodeList:
    name = register.removeprefix(SUBJECT)
    entries = tuple(sorted(map(_entry, states), key=lambda each: (each.code, each.valid_from or date.min)))
    shipped = base.get(name)
    return CodeList(
        name=name,
        title=shipped.title if shipped else name,
        title_vi=shipped.title_vi if shipped else name,
        source=f"{register} as published on the bus",
        entries=entries,
        current=frozenset(entry.code for entry in entries if entry.valid_to is None),
        place=f"as published in {register}",
    )


def _entry(state: Mapping[str, Any]) -> Code:
    more = {name: state[name] for name in OPTIONAL if state.get(name) is not None}
    return Code(
        code=state["code"],
        name=state["name"],
        name_vi=state["name"],
        valid_from=_day(state.get("valid_from")),
        valid_to=_day(state.get("valid_to")),
        **more,
    )


def _day(value: Any) -> date | None:
    """A date as Avro, PostgreSQL or a file of JSON has it."""
    return date.fromisoformat(value) if isinstance(value, str) else value
