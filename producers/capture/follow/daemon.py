"""The follower as a process."""

from functools import partial

from producers import daemon
from producers.capture.follow.follower import Follower
from producers.capture.follow.settings import FollowSettings


async def serve(settings: FollowSettings, host: str, port: int, *, until_current: bool = False) -> None:
    """Follow until SIGTERM or SIGINT, or with ``until_current`` until that is sent. Raises what Follower raises."""
    follower = Follower(settings)
    await daemon.serve(
        follower,
        partial(follower.run, until_current=until_current),
        name="capture",
        told={"agency": settings.agency, "register": settings.register_name},
        host=host,
        port=port,
        drain_seconds=settings.drain_seconds,
    )
