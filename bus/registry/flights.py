"""One question on its way at a time for each thing asked: who asks the same meanwhile waits for that answer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Flights(Generic[Key, Answer]):
    """Needs no tasks of its own: the first asker does the asking, and when it is cancelled the next one takes over."""

    def __init__(self) -> None:
        self._under_way: dict[Key, asyncio.Future[Answer]] = {}

    async def share(self, key: Key, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of ``ask``, or that of an asker who was first; its error too."""
        while (other := self._under_way.get(key)) is not None:
            await asyncio.wait([other])
            if not other.cancelled():
                return other.result()
        return await self._ask(key, ask)

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        mine = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await ask()
        except Exception as error:
            mine.set_exception(error)
            mine.exception()  # seen: nobody else may be waiting
            raise
        except BaseException:
            mine.cancel()
            raise
        else:
            mine.set_result(answer)
            return answer
        finally:
            del self._under_way[key]
