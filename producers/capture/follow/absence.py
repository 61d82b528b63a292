"""Who was deleted while nobody followed: the topic as it was before the table is read, against the table as it is.

The topic is read into a state such as file diff keeps, in a directory that goes when the table is read.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import polars as pl
import structlog

from bus.catalog import Register
from bus.codec import ParsedSchema
from bus.names import TopicName
from bus.registry import open_registry
from bus.topics.facts import TopicFacts
from producers.capture.follow.roll import Roll, must_be_few
from producers.capture.follow.settings import FollowSettings
from producers.capture.row import packed, unpacked
from producers.capture.translation import Translator
from producers.decoder import Decoder
from producers.filediff.diff import Before
from producers.filediff.progress import Silent
from producers.filediff.replay import Source, catch_up
from producers.filediff.state import FileState, state_file
from producers.publisher import utc_now
from producers.release import Release

log = structlog.get_logger(__name__)

Told = Mapping[str, int]
"""``living`` on the topic before the table was read, and the ``highest`` version there."""


@dataclass(frozen=True, slots=True)
class Absence:
    settings: FollowSettings
    register: Register
    topic: TopicName
    facts: TopicFacts
    release: Release
    translator: Translator
    mapping: int
    alone: bool
    """Whether no other table is captured for this register and agency."""
    state: FileState

    @classmethod
    @contextmanager
    def opened(cls, topic: TopicName, **more: Any) -> Iterator[Self]:
        with (
            tempfile.TemporaryDirectory(prefix="lienthong-capture-") as directory,
            FileState(state_file(Path(directory), topic)) as state,
        ):
            yield cls(topic=topic, state=state, **more)

    def before(self) -> Told:
        """The topic now: to be kept until the table is read. Raises BrokerUnavailable."""
        asyncio.run(self._catch_up())
        return {"living": self.state.living().height, "highest": self.state.high_water() or 0}

    def find(self, before: Told, table: Iterable[Sequence[Any]], stopped: Callable[[], bool]) -> pl.Series | None:
        """Keys of those who lived before, of whom nothing was sent since, and for whom no row of the table answers.

        None when stopped. Raises ConfirmationNeeded where they are too many.
        """
        if not before["living"] or self._kept():
            return pl.Series(dtype=pl.String)
        asyncio.run(self._catch_up())
        roll = Roll(Before(self.state.living(before["highest"])))
        for rows in table:
            cells = [unpacked(packed(self.mapping, row.found))[1] for row in rows if row.key]
            if cells:
                roll.call(self.translator.look(self.mapping, cells))
        return None if stopped() else self._allowed(roll, before["living"])

    def _kept(self) -> bool:
        """Whether the table is not the whole register."""
        if not self.alone:
            self._tell_kept("other tables are captured for the register too")
        return not self.alone or self.settings.confirm_deletes is False

    def _allowed(self, roll: Roll, living: int) -> pl.Series:
        absent, settings = roll.absent(), self.settings
        if len(absent) and roll.untrusted:
            self._tell_kept(f"the key of {roll.untrusted} rows cannot be trusted", absent=len(absent))
            return absent.clear()
        if not settings.confirm_deletes:
            must_be_few(settings.table, len(absent), living, settings.max_delete_share)
        return absent

    def _tell_kept(self, why: str, **told: int) -> None:
        log.warning("capture_absent_kept", register=self.register.name, why=why, **told)

    async def _catch_up(self) -> None:
        settings = self.settings
        async with open_registry(settings.registry, settings.kafka) as registry:
            decoder = Decoder(self.register.name, registry, cast("ParsedSchema", self.release.schema.parsed))
            schema = self.release.schema
            source = Source(settings.kafka, self.register, self.topic, self.facts, schema, decoder)
            await catch_up(self.state, source, utc_now(), Silent())
