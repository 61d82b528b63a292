"""What a directory's stack consists of: cluster id, nodes, ports. Kept in ``stack.json``, so that they last."""

import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.errors import ConfigInvalid, PathUnwritable
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


class Wish(BaseModel):
    """What ``up`` was asked for; None leaves it to the directory."""

    model_config = ConfigDict(frozen=True)

    brokers: int | None = None
    postgres: bool = False
    port: int | None = None
    postgres_port: int | None = None


def settle(stored: Layout | None, wish: Wish) -> Layout:
    """Return the stored layout, moved or added to as wished, or a new one.

    Raises ``ConfigInvalid`` when the number of brokers differs: it is built into the data.
    """
    layout = stored or new_layout(wish.brokers or 1, first_port=wish.port)
    if wish.brokers not in (None, len(layout.brokers)):
        raise ConfigInvalid(
            f"the data there is of {len(layout.brokers)} broker(s), not {wish.brokers}; "
            "leave --brokers out, or erase the data with --fresh"
        )
    if wish.port is not None and wish.port != layout.brokers[0].port:
        layout = with_first_port(layout, wish.port)
    if wish.postgres_port not in (None, layout.postgres_port) or (wish.postgres and layout.postgres_port is None):
        layout = with_postgres(layout, wish.postgres_port)
    return layout


def new_layout(brokers: int, *, first_port: int | None = None) -> Layout:
    """Return a cluster of so many brokers, on ``first_port`` and those after it, or on free ports."""
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return Layout(cluster_id=cluster_id, brokers=_broker_ports(brokers, first_port))


def with_first_port(layout: Layout, first_port: int) -> Layout:
    """Move the brokers to ``first_port`` and those after it, their controllers to free ports; the data stays."""
    return layout.model_copy(update={"brokers": _broker_ports(len(layout.brokers), first_port)})


def with_postgres(layout: Layout, port: int | None = None) -> Layout:
    """Add PostgreSQL, or move it, to ``port`` or a free one."""
    taken = frozenset(port for node in layout.brokers for port in (node.port, node.controller_port))
    return layout.model_copy(update={"postgres_port": port or free_ports(1, taken)[0]})


def _broker_ports(brokers: int, first_port: int | None) -> tuple[BrokerPorts, ...]:
    fixed = [] if first_port is None else [first_port + number for number in range(brokers)]
    free = free_ports(2 * brokers, frozenset(fixed))
    return tuple(
        BrokerPorts(node_id=number + 1, port=port, controller_port=controller)
        for number, (port, controller) in enumerate(zip(fixed or free[:brokers], free[brokers:], strict=True))
    )


def read_layout(path: Path) -> Layout | None:
    try:
        return Layout.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PathUnwritable(f"cannot read {path}: {error.strerror}; it belongs to another user's stack") from error
    except ValidationError as error:
        raise ConfigInvalid(f"{path} is not a stack's file; start over with: lienthong local up --fresh") from error


def write_layout(path: Path, layout: Layout) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(layout.model_dump_json(indent=2), encoding="utf-8")
    beside.replace(path)
