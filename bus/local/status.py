"""What a stack is and does, as values that scripts can read."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from bus.local.process import ProcessState


class NodeStatus(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["kafka", "postgres"]
    state: ProcessState
    pid: int | None
    port: int
    log: Path


class StackStatus(BaseModel):
    """One directory's stack. Addresses are given whether or not the servers run."""

    model_config = ConfigDict(frozen=True)

    directory: Path
    bootstrap_servers: str | None
    postgres_url: str | None
    nodes: tuple[NodeStatus, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def running(self) -> bool:
        """Whether there are nodes and all of them run."""
        return bool(self.nodes) and all(node.state == "running" for node in self.nodes)
