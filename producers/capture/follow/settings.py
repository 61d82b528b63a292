"""What a follower of the log is told."""

from typing import Literal

from pydantic import Field

from producers.outbox.relay.settings import TurnSettings


class FollowSettings(TurnSettings):
    """One follower of one table for one register."""

    table: str
    max_lag_bytes: int = Field(default=4 * 1024**3, ge=1)
    when_full: Literal["stop", "drop"] = "stop"
    confirm_deletes: bool | None = None
    """Of subjects that the topic has and a table read afresh has not; None: up to ``max_delete_share``; False: none."""
    max_delete_share: float = Field(default=0.2, ge=0, le=1)
    """Of what was published before the table is read."""
    transaction_rows: int = Field(default=5_000, ge=1)
    snapshot_rows: int = Field(default=5_000, ge=1)
