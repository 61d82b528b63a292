"""The publisher for programs without an event loop: Django, Flask, scripts."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from datetime import datetime
from typing import Any, Self, TypeVar

from bus.errors import BrokerUnavailable
from producers.admission import State
from producers.lane import Receipt
from producers.publisher import Publisher
from producers.settings import PublisherSettings

T = TypeVar("T")


class BlockingPublisher:
    """A Publisher whose calls block. One may serve many threads; a forked process needs one of its own.

    It runs in a thread with an event loop. Errors are those of Publisher; closing takes ``drain_seconds`` at most.
    """

    def __init__(self, settings: PublisherSettings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._publisher: Publisher | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lienthong publisher", daemon=True)
        self._thread.start()
        try:
            self._publisher = self._wait(self._opened())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send what is queued, then end the thread. Closing twice, or before opening, does nothing."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            try:
                self._wait(publisher.close())
            finally:
                self._end()

    def publish(
        self, register: str, state: State, *, occurred_at: datetime | None = None, traceparent: str | None = None
    ) -> Receipt:
        """See Publisher.publish."""
        return self._wait(self._open().publish(register, state, occurred_at=occurred_at, traceparent=traceparent))

    def publish_many(
        self,
        register: str,
        states: Iterable[State],
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> list[Receipt]:
        """See Publisher.publish_many."""
        return self._wait(self._open().publish_many(register, states, occurred_at=occurred_at, traceparent=traceparent))

    def delete(
        self, register: str, key: str, *, occurred_at: datetime | None = None, traceparent: str | None = None
    ) -> Receipt:
        """See Publisher.delete."""
        return self._wait(self._open().delete(register, key, occurred_at=occurred_at, traceparent=traceparent))

    def merge(
        self,
        register: str,
        key: str,
        replaced_by: str,
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """See Publisher.merge."""
        merging = self._open().merge(register, key, replaced_by, occurred_at=occurred_at, traceparent=traceparent)
        return self._wait(merging)

    def _open(self) -> Publisher:
        if self._publisher is None:
            raise BrokerUnavailable("this publisher is closed or was never opened; use it in a `with` block")
        return self._publisher

    async def _opened(self) -> Publisher:
        return await Publisher(self._settings).__aenter__()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise BrokerUnavailable("this publisher is closed; use it in a `with` block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()
