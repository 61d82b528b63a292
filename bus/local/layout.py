"""What a directory's stack consists of: cluster id, nodes and ports. Kept in ``stack.json``, so that data and ports last."""

import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.errors import ConfigInvalid
from bus.local.ports import free_ports


class BrokerPorts(BaseModel):
    model_config = ConfigDict(frozen=True)

    node_id: int
    port: int
    controller_port: int


class Layout(BaseModel):
    """One stack: every broker is a controller too; PostgreSQL is there when it has a port."""

    model_config = ConfigDict(frozen=True)

    cluster_id: str
    brokers: tuple[BrokerPorts, ...]
    postgres_port: int | None = None

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)


def new_layout(brokers: int, *, postgres: bool, first_port: int | None) -> Layout:
    """Choose ports: ``first_port`` and those after it for the brokers, free ones for the rest."""
    fixed = [] if first_port is None else [first_port + number for number in range(brokers)]
    ports = free_ports(2 * brokers + 1, frozenset(fixed))
    listeners = fixed or ports[:brokers]
    nodes = tuple(
        BrokerPorts(node_id=number + 1, port=listeners[number], controller_port=ports[brokers + number])
        for number in range(brokers)
    )
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return Layout(cluster_id=cluster_id, brokers=nodes, postgres_port=ports[-1] if postgres else None)


def with_postgres(layout: Layout) -> Layout:
    taken = frozenset(port for node in layout.brokers for port in (node.port, node.controller_port))
    return layout.model_copy(update={"postgres_port": free_ports(1, taken)[0]})


def with_first_port(layout: Layout, first_port: int) -> Layout:
    """Move the brokers to ``first_port`` and those after it; their data stays."""
    moved = tuple(node.model_copy(update={"port": first_port + at}) for at, node in enumerate(layout.brokers))
    return layout.model_copy(update={"brokers": moved})


def read_layout(path: Path) -> Layout | None:
    try:
        return Layout.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ConfigInvalid(f"{path} is not a stack's file; start over with: lienthong local up --fresh") from error


def write_layout(path: Path, layout: Layout) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one."""
    beside = path.with_suffix(".new")
    beside.write_text(layout.model_dump_json(indent=2))
    beside.replace(path)
