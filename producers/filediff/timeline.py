"""Whether an export comes in its turn and is whole, judged by the exports before it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from bus.errors import FileRefused


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of earlier exports that were published."""

    full: datetime | None = None
    """When the newest full one was made."""
    partial: datetime | None = None
    """When the newest partial one was made."""
    ended: bool | None = None
    """Whether the last line of the last full one had a line end; None where that is no matter or not known."""


def check_turn(file: str, made: datetime, before: Remembered, *, partial: bool) -> None:
    """Raise FileRefused for an export that was made before one that is published.

    A partial export, such as a corrected quarantine file, does not hold up the next full one.
    """
    newest = max((each for each in (before.full, before.partial if partial else None) if each), default=None)
    if newest is not None and made < newest:
        raise FileRefused(
            f"{file}: made {told(made)}, before the export of {told(newest)} that is published: it would take the "
            "register back; publish the newest export, or pass --as-of with its true date, or --allow-older"
        )


def check_end(file: str, before: Remembered, *, ended: bool | None, partial: bool) -> None:
    """Raise FileRefused where earlier exports ended their last line and this one does not: it may be cut there."""
    if before.ended and ended is False and not partial:
        raise FileRefused(
            f"{file}: its last line has no line end, as those of earlier exports had: it may be half-written; wait "
            "until it is complete, or end its last line"
        )


def told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S%z}"
