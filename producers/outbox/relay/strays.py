"""Rows that no relay takes, since their ``aggregatetype`` is no topic of the catalogue: a name that was mistyped."""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from bus.catalog import Catalog
from producers.outbox.database import told_plainly
from producers.outbox.rows import kind
from producers.outbox.table import tables

REMEDY = "aggregatetype is no topic of the catalogue; correct it in these rows, and in the program that writes it"


@dataclass(frozen=True, slots=True)
class Strays:
    rows: int = 0
    first_id: str | None = None
    """The event id of the oldest; what stands in ``aggregatetype`` may be anything and is told nobody."""


def kinds(catalog: Catalog) -> tuple[str, ...]:
    """All that an outbox may hold, whoever relays it."""
    registers = catalog.registers.values()
    return tuple(kind(register, agency) for register in registers for agency in catalog.writers(register))


def find_strays(engine: Engine, known: tuple[str, ...]) -> Strays:
    """Of the rows that wait. Raises DatabaseUnavailable."""
    outbox = tables(engine.dialect.name).outbox.c
    waits = outbox.sent_at.is_(None), outbox.parked.is_(None), outbox.aggregatetype.not_in(known)
    with told_plainly(engine), engine.connect() as connection:
        count, first = connection.execute(select(func.count(), func.min(outbox.seq)).where(*waits)).one()
        found = connection.execute(select(outbox.id).where(outbox.seq == first)).scalar() if count else None
    return Strays(int(count), str(found).strip() if found else None)
