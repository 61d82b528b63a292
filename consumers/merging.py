"""Merging: newest version per key within a batch. Pure frame operations."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Merged:
    rows: pl.DataFrame
    """At most one row per key."""
    superseded: int
    """Events of the batch that a newer one of the same key in the same batch makes needless, and exact repeats."""
    tombstones: int
    """Tombstones whose delete is in the same batch: they say the same thing twice by design."""


def merge(events: pl.DataFrame) -> Merged:
    """Keep the highest version of each key; of equal versions the first that came.

    ``events`` has the envelope's columns, the state's, and ``tombstone`` (bool), in order of arrival.
    """
    echoes = _echoes(events)
    kept = events.filter(~echoes) if echoes is not None else events
    rows = kept
    if kept.get_column("key").n_unique() < kept.height:
        rows = kept.sort("version", descending=True, maintain_order=True).unique(
            "key", keep="first", maintain_order=True
        )
    return Merged(rows.drop("tombstone"), superseded=kept.height - rows.height, tombstones=events.height - kept.height)


def _echoes(events: pl.DataFrame) -> pl.Series | None:
    """Which rows are tombstones that follow their own delete in this batch."""
    if not events.get_column("tombstone").any():
        return None
    deletes = (~pl.col("tombstone") & (pl.col("op") == "DELETE")).cum_sum().over("key", "version")
    return events.select((pl.col("tombstone") & (deletes > 0)).alias("echo")).to_series()
