"""The relay as a process."""

from functools import partial

from producers import daemon
from producers.outbox.relay.relay import Relay
from producers.outbox.relay.settings import RelaySettings


async def serve(settings: RelaySettings, host: str, port: int, *, until_empty: bool = False) -> None:
    """Relay until SIGTERM or SIGINT, or with ``until_empty`` until no row waits. Raises what Relay raises."""
    relay = Relay(settings)
    await daemon.serve(
        relay,
        partial(relay.run, until_empty=until_empty),
        name="outbox_relay",
        told={"agency": settings.agency, "register": settings.register_name},
        host=host,
        port=port,
        drain_seconds=settings.drain_seconds,
    )
