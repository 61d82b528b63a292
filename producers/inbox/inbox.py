"""The inbox at work: looks, publishes what is complete in order of time, puts it away, looks again."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from bus import metrics
from bus.errors import BusError, ConfirmationNeeded, FileRefused, StateInvalid, Unavailable
from producers.filediff.job import FileJob
from producers.filediff.job import Outcome as Published
from producers.filediff.opening import is_quarantine
from producers.filediff.progress import Advance
from producers.filediff.run import publish_file
from producers.inbox import folder as disk
from producers.inbox.settings import InboxSettings, Route
from producers.inbox.waiting import Entry, Terms, complete, exports

log = structlog.get_logger(__name__)
OF_THE_FILE = (FileRefused, StateInvalid, ConfirmationNeeded)
"""What is wrong with one file, and will be at every further try."""


class _Stopping(Exception):
    """Between two safe points of a run, since the inbox has been told to stop."""


class Inbox:
    """Killed at any moment and started again, each file is published and put away, and no event is sent twice."""

    def __init__(self, folder: Path, settings: InboxSettings, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._stop = asyncio.Event()
        self._looked = False
        self._away: dict[str, Unavailable] = {}
        self._strange: set[Path] = set()
        self.done = 0
        self.failed = 0

    def stop(self) -> None:
        self._stop.set()

    def unready(self) -> Mapping[str, str]:
        """Registers whose files wait for something that is away, and why."""
        if not self._looked:
            return {"inbox": "has not looked yet"}
        return {register: str(error) for register, error in self._away.items()}

    @property
    def away(self) -> Unavailable | None:
        """Why some file still waits, if one does."""
        return next(iter(self._away.values()), None)

    async def run(self, *, once: bool = False) -> None:
        """Until ``stop()``, or once through what lies there. Raises what no file is to blame for."""
        for folder in self._folders():
            disk.prepare(folder)
        work = asyncio.create_task(self._work(once=once), name="inbox")
        stopped = asyncio.create_task(self._stop.wait(), name="stop signal")
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=self._settings.drain_seconds)
        work.cancel()
        stopped.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)
        if not work.cancelled() and (error := work.exception()):
            raise error

    async def _work(self, *, once: bool) -> None:
        while not self._stop.is_set():
            await self._look()
            self._looked = True
            if once:
                return
            pause = self._settings.retry_seconds if self._away else self._settings.poll_seconds
            try:
                await asyncio.wait_for(self._stop.wait(), pause)
            except TimeoutError:
                continue

    async def _look(self) -> None:
        """One round. A register of which one file has to wait lets none of its later ones pass."""
        away: dict[str, Unavailable] = {}
        settings = self._settings
        for folder in self._folders():
            found = disk.entries(folder)
            metrics.inbox_waiting.labels(str(folder.relative_to(self._folder))).set(len(exports(found)))
            for entry in complete(found, Terms(self._clock(), settings.settle_seconds, settings.companion)):
                route = self._route(folder, entry)
                if route is None or route.register_name in away or self._stop.is_set():
                    continue
                why = await self._take(folder, entry, route)
                if why is not None:
                    away[route.register_name] = why
        self._away = away

    async def _take(self, folder: Path, entry: Entry, route: Route) -> Unavailable | None:
        """Publish a file and put it away; what is away for now, if the file has to wait for it."""
        taken = disk.take(folder, entry)
        job = self._settings.job(route, taken.file, taken.report, taken.quarantine)
        if is_quarantine(taken.file):
            job = job.model_copy(update={"partial": True})
        try:
            outcome = await publish_file(job, self)
        except _Stopping:
            log.info("file_left", register=route.register_name, file=entry.name)
        except Unavailable as error:
            log.warning("file_waited", register=route.register_name, file=entry.name, why=str(error))
            return error
        except OF_THE_FILE as error:
            if taken.untouched:
                self._put_failed(taken, job, error)
        else:
            if taken.untouched:
                self._put_done(taken, outcome)
        return None

    def _put_done(self, taken: disk.Taken, outcome: Published) -> None:
        disk.put_done(taken)
        self.done += 1
        metrics.inbox_files.labels(outcome.register, "done").inc()
        log.info(
            "file_published",
            register=outcome.register,
            file=taken.file.name,
            rows=outcome.rows,
            events=outcome.events,
            refused_rows=outcome.refused_rows,
        )

    def _put_failed(self, taken: disk.Taken, job: FileJob, error: BusError) -> None:
        told = {"register": job.register_name, "agency": job.agency, "error": error.reason, "message": str(error)}
        report = disk.put_failed(taken, told)
        self.failed += 1
        metrics.inbox_files.labels(job.register_name, "failed").inc()
        log.error("file_failed", **told, file=taken.file.name, report=str(report))

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(self._folder / route.folder for route in self._settings.route))

    def _route(self, folder: Path, entry: Entry) -> Route | None:
        here = (route for route in self._settings.route if self._folder / route.folder == folder)
        found = next((route for route in here if route.takes(entry.name)), None)
        if found is None and folder / entry.name not in self._strange:
            self._strange.add(folder / entry.name)
            log.warning(
                "file_unknown", file=entry.name, remedy="no route's pattern takes this name; rename it or add one"
            )
        return found

    def say(self, text: str) -> None:
        log.info("run_told", text=text)

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Advance]:
        """Each advance of a run is a safe point at which it may stop."""
        del what, total
        yield self._advance

    def _advance(self, _count: int) -> None:
        if self._stop.is_set():
            raise _Stopping
