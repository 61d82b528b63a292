"""Which parked events a command speaks of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from bus.errors import ConfigInvalid, RegisterUnknown
from bus.names import RegisterName
from consumers.stores.base import Reader
from consumers.stores.model import Origin, Parked

PAGE = 500  # events of one transaction


@dataclass(frozen=True, slots=True)
class Selection:
    """Named events, or those that meet every condition given."""

    origins: Sequence[Origin] = ()
    register: RegisterName | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None

    @property
    def narrow(self) -> bool:
        """Whether it says anything at all."""
        return self != Selection()

    def pages(self, reader: Reader) -> Iterator[Sequence[Parked]]:
        """Pages of events of one register each, in order of their origins; what stays parked does not come twice."""
        for page in self._named(reader) if self.origins else self._found(reader):
            ordered = sorted(page, key=lambda each: (each.register, each.origin))
            for _, events in groupby(ordered, key=lambda each: each.register):
                yield list(events)

    def _named(self, reader: Reader) -> Iterator[Sequence[Parked]]:
        for start in range(0, len(self.origins), PAGE):
            found = [reader.parked_event(origin) for origin in self.origins[start : start + PAGE]]
            yield [each for each in found if each is not None]

    def _found(self, reader: Reader) -> Iterator[Sequence[Parked]]:
        left, after = self.limit, None
        while left is None or left > 0:
            page = self.page(reader, PAGE if left is None else min(PAGE, left), after)
            if not page:
                return
            yield page
            after, left = page[-1].origin, None if left is None else left - len(page)

    def page(self, reader: Reader, limit: int, after: Origin | None) -> Sequence[Parked]:
        """One page of what meets the conditions. Raises RegisterUnknown for a register that is not held."""
        if self.register is not None and self.register not in reader.registers():
            raise RegisterUnknown(
                f"{self.register}: this replica holds {', '.join(reader.registers()) or 'no register'}"
            )
        return reader.parked(self.register, limit, reason=self.reason, since=self.since, until=self.until, after=after)


def read_origins(texts: Sequence[str]) -> tuple[Origin, ...]:
    """Raises ConfigInvalid for what is no origin."""
    found = []
    for text in texts:
        try:
            found.append(Origin.read(text))
        except ValueError:
            raise ConfigInvalid(
                f"{text}: not an origin; write topic id/partition/offset, as the list shows it"
            ) from None
    return tuple(found)


def read_moment(text: str | None) -> datetime | None:
    """ISO 8601; without an offset it is this machine's time. Raises ConfigInvalid."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise ConfigInvalid(f"{text}: not a time; write 2026-07-01 or 2026-07-01T08:30:00+07:00") from None
