"""The condition of a register that is followed, as people and probes are told it."""

import structlog

from bus import metrics
from bus.names import RegisterName
from consumers.progress import Progress

log = structlog.get_logger(__name__)


class Condition:
    """What a register's follower is doing; the gauge of what is ready goes with it."""

    def __init__(self, register: RegisterName) -> None:
        self._register = register
        self.doing = "starting"
        """Empty when the register is ready."""
        self.progress: Progress | None = None
        """Of the last fill of this run."""

    def ready(self) -> None:
        """Has all that was there when it began; said once, until it is unready again."""
        if self.doing:
            log.info("register_ready", register=self._register)
        self.doing = ""
        metrics.ready.labels(self._register).set(1)

    def unready(self, doing: str) -> None:
        self.doing = doing
        metrics.ready.labels(self._register).set(0)
