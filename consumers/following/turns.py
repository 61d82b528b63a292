"""Turns: what a register wants done next, and why. Values alone: what is so is looked up by who asks."""

from dataclasses import dataclass
from enum import StrEnum

from consumers.stores.model import Phase, RegisterStatus

ASKED = "somebody asked for it"
OUTLASTED = "the fill takes longer than deletes are kept"
ABSENT = "nothing is here yet"
MOVED = "the register goes on in a new generation of its topics"
TOO_OLD = "deletes may have gone since this replica was last caught up"
GROWN = "the schema has grown"


class Turn(StrEnum):
    BEGIN = "begin"
    """A fill begins, from nothing."""
    BOOTSTRAP = "bootstrap"
    """The fill under way goes on, and nothing beside it: no live table, or one of other topics."""
    REBUILD = "rebuild"
    """The fill under way goes on, and the live table is kept in step beside it."""
    WAIT = "wait"
    """Another daemon fills."""
    FOLLOW = "follow"
    """The live table is kept in step."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of a register's topics and tables as a turn begins."""

    moved: bool
    """The live table's positions are of an earlier generation of the topics."""
    live_too_old: bool
    """Deletes may have gone since the live table was last caught up."""
    shadow_too_old: bool
    """The same of the shadow, where one is being filled."""
    fingerprint: str | None
    """Of the table that the newest released schema makes."""


def why_fill(status: RegisterStatus, facts: Facts) -> str:
    """Why a fill has to begin, also where one is under way; empty when it need not."""
    if status.rebuild_asked:
        return ASKED
    if status.filling:
        return OUTLASTED if facts.shadow_too_old else ""
    if status.phase is Phase.ABSENT:
        return ABSENT
    if facts.moved:
        return MOVED
    if facts.live_too_old:
        return TOO_OLD
    return GROWN if status.fingerprint != facts.fingerprint else ""


def next_turn(status: RegisterStatus, why: str, *, leads: bool, beside: bool) -> Turn:
    """Whoever ``leads`` fills, the others follow or wait.

    ``why`` a fill has to begin; ``beside``: whether a live table can be kept in step while one is under way. Rows of a
    wider schema let anyone begin: who has met it cannot go on without.
    """
    if status.filling and leads and not why:
        return Turn.REBUILD if beside else Turn.BOOTSTRAP
    if why and (leads or why == GROWN):
        return Turn.BEGIN
    if status.phase is Phase.ABSENT or why or (status.filling and not beside):
        return Turn.WAIT
    return Turn.FOLLOW
