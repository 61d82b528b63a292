"""One worker thread for a blocking store, so that the event loop fetches while the database works."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, Self, TypeVar

from consumers.stores.base import Store

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class StoreThread:
    """Owns the store from open to close; calls run one after the other, in order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lienthong-store")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self(self.store.close)
        self._executor.shutdown()

    async def __call__(self, work: Callable[Given, Answer], /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        """Run one of the store's methods; a call that has begun is finished even when the caller is cancelled."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(*args, **kwargs))
        future.add_done_callback(_heard)
        return await asyncio.shield(future)


def _heard(future: asyncio.Future[Any]) -> None:
    """A call whose caller is gone fails for nobody: asyncio need not log it."""
    if not future.cancelled():
        future.exception()
