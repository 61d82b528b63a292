"""Loopback ports: chosen once, kept with the data, and told apart from a stranger's."""

import random
import socket

from bus.errors import PortTaken

LOOPBACK = "127.0.0.1"
_BELOW_EPHEMERAL = range(15_000, 32_000)
"""Linux gives outgoing connections ports from 32768 up; a server's port there may be in use when it starts again."""


def is_free(port: int) -> bool:
    """Tell whether a server could listen on ``port`` now; connections in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int, taken: frozenset[int] = frozenset()) -> list[int]:
    """Return ``count`` different free ports outside ``taken``."""
    candidates = random.SystemRandom().sample(_BELOW_EPHEMERAL, 400)
    found = [port for port in candidates if port not in taken and is_free(port)][:count]
    if len(found) < count:
        raise PortTaken(f"found no {count} free ports on {LOOPBACK}; name one with --port")
    return found


def must_be_free(port: int, what: str, remedy: str) -> None:
    """Raise ``PortTaken`` when another process listens on ``port``."""
    if not is_free(port):
        raise PortTaken(f"port {port}, which {what} needs, is taken by another process; {remedy}")
