"""What the topics are filled with: the synthetic city's residents as events of ``resident.identity``."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
from uuid_utils import uuid7

from bus.demo.data import people
from bus.headers import CONTENT_TYPE, Headers
from bus.names import AgencyCode, RegisterName

IDENTITY, POLICE = RegisterName("resident.identity"), AgencyCode("H29.5")
CHUNK = 20_000  # rows encoded and held as bytes at a time
SEED = 20_260_701


def residents(count: int) -> pl.DataFrame:
    """``count`` synthetic states, the same ones in every run."""
    return people(count, SEED)


def version_now() -> int:
    """The wall clock in µs, as adapters number versions."""
    return time.time_ns() // 1000


def event_frames(states: pl.DataFrame, first_version: int) -> Iterator[pl.DataFrame]:
    """The states as upserts with rising versions: the envelope's columns and ``state``, a chunk at a time."""
    for start in range(0, states.height, CHUNK):
        yield _events(states.slice(start, CHUNK), first_version + start)


def headers(events: pl.DataFrame) -> Iterator[Headers]:
    """The CloudEvents headers of each event, as ``bus.headers`` writes them."""
    kind = ("ce_type", f"vn.lienthong.{IDENTITY}.upsert".encode())
    source = ("ce_source", f"/agencies/{POLICE}".encode())
    for event_id in events["event_id"]:
        yield [
            ("ce_specversion", b"1.0"),
            ("ce_id", event_id.encode()),
            source,
            kind,
            ("content-type", CONTENT_TYPE),
        ]


def _events(states: pl.DataFrame, first_version: int) -> pl.DataFrame:
    now = pl.lit(datetime.now(UTC), dtype=pl.Datetime("us", "UTC"))
    ids = pl.Series("event_id", [str(uuid7()) for _ in range(states.height)], dtype=pl.String)
    return states.select(
        ids,
        pl.lit("UPSERT").alias("op"),
        pl.col("personal_id").alias("key"),
        pl.int_range(first_version, first_version + pl.len(), dtype=pl.Int64).alias("version"),
        pl.lit(POLICE).alias("source"),
        now.alias("occurred_at"),
        now.alias("recorded_at"),
        pl.lit(None, dtype=pl.String).alias("replaced_by"),
        pl.struct(states.columns).alias("state"),
    )
