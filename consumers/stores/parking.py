"""Parked events as a database row and back, and what a replay is held to."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Any

from bus.errors import Unavailable
from bus.names import RegisterName, TopicName
from consumers.stores.model import Origin, Outcome, Parked, Replay, Table


def parked_values(parked: Parked) -> tuple[Any, ...]:
    """Values in the order of the table's columns, up to ``kafka_timestamp_ms``."""
    headers = [[name, None if value is None else b64encode(value).decode()] for name, value in parked.headers]
    return (
        parked.topic_id,
        parked.partition,
        parked.offset,
        parked.register,
        parked.topic,
        parked.reason,
        _storable(parked.detail),
        parked.key,
        parked.value,
        json.dumps(headers),
        parked.kafka_timestamp_ms,
    )


def reason_values(parked: Parked) -> tuple[str, str]:
    """Reason and detail, as a replay found them."""
    return parked.reason, _storable(parked.detail)


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def origins_text(origins: Iterable[Origin]) -> str:
    """Origins as a JSON array of arrays."""
    return json.dumps([astuple(origin) for origin in origins])


def origin_columns(origins: Iterable[Origin]) -> dict[str, list[Any]]:
    """Origins as three lists."""
    columns = [list(column) for column in zip(*map(astuple, origins), strict=True)] or [[], [], []]
    return dict(zip(("topic_ids", "partitions", "offsets"), columns, strict=True))


def parked_of(values: Sequence[Any], parked_at: datetime, replays: int, forwarded_at: datetime | None) -> Parked:
    """The event from those values and from what the store noted since."""
    topic_id, partition, offset, register, topic, reason, detail, key, value, headers, timestamp = values
    return Parked(
        register=RegisterName(register),
        topic=TopicName(topic),
        topic_id=topic_id,
        partition=partition,
        offset=offset,
        reason=reason,
        detail=detail,
        key=key,
        value=value,
        headers=tuple((name, None if text is None else b64decode(text)) for name, text in json.loads(headers)),
        kafka_timestamp_ms=timestamp,
        parked_at=parked_at,
        replays=replays,
        forwarded_at=forwarded_at,
    )


def check_replay(replay: Replay, held: Table, *, ready: bool, filling: bool, found: int) -> None:
    """Whether a replay may be made on the register as it stands, ``found`` of its events being parked.

    Raises Unavailable: what a fill under way has read already it would not read again.
    """
    register = replay.table.register
    if filling or not ready:
        raise Unavailable(f"{register} is being filled; replay its parked events once it is ready")
    if held.fingerprint != replay.table.fingerprint:
        raise Unavailable(f"{register}: its table has changed meanwhile; run the replay again")
    if found != len(replay.settled) + len(replay.standing):
        raise Unavailable(f"{register}: others have replayed or dismissed some of these events; run the replay again")


def replay_counts(replay: Replay, outcome: Outcome) -> dict[str, int]:
    """What a replay adds to the counters: its settled events leave ``parked`` for what became of them."""
    settled = len(replay.settled)
    superseded = settled - outcome.applied - outcome.stale
    return {"applied": outcome.applied, "parked": -settled, "stale": outcome.stale, "superseded": superseded}


def dismissal_counts(n: int) -> dict[str, int]:
    return {"dismissed": n, "parked": -n}
