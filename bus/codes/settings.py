"""Which code lists an adapter is told to clean and validate by."""

from datetime import date

from bus.settings import Settings


class CodesFrom(Settings):
    """Part of every adapter's settings."""

    codes: str | None = None
    """A replica's URL, or a directory that keeps what the code topics say; without it, the lists in the wheel."""
    codes_on: date | None = None
    """The day on which a code has to be in force; with ``codes`` it is today, in the city's time."""
