"""Random columns: each a function of seed, name and row alone, so that they are the same on every machine."""

from dataclasses import dataclass
from hashlib import blake2b

import polars as pl

# The finalizer of MurmurHash3 (Appleby, public domain); Polars wraps 64-bit products, and // 2**33 is its shift.
_SHIFT = pl.Series([2**33], dtype=pl.UInt64)
_FIRST = pl.Series([0xFF51AFD7ED558CCD], dtype=pl.UInt64)
_SECOND = pl.Series([0xC4CEB9FE1A85EC53], dtype=pl.UInt64)


@dataclass(frozen=True, slots=True)
class Draws:
    """A seed's draws. ``rows`` are row numbers (UInt64); equal numbers draw equal values under the same name."""

    seed: int

    def bits(self, name: str, rows: pl.Series) -> pl.Series:
        """64 random bits a row."""
        mixed = rows + pl.Series([self._salt(name)], dtype=pl.UInt64)
        mixed = (mixed ^ (mixed // _SHIFT)) * _FIRST
        mixed = (mixed ^ (mixed // _SHIFT)) * _SECOND
        return mixed ^ (mixed // _SHIFT)

    def below(self, name: str, rows: pl.Series, limit: int) -> pl.Series:
        """Whole numbers from 0 to ``limit - 1`` (UInt32)."""
        return (self.bits(name, rows) % limit).cast(pl.UInt32)

    def percent(self, name: str, rows: pl.Series, share: float) -> pl.Series:
        """True for about ``share`` rows in a hundred."""
        return self.below(name, rows, 10_000) < round(share * 100)

    def pick(self, name: str, rows: pl.Series, table: pl.Series) -> pl.Series:
        """One of the table's values a row; a value that stands there twice comes twice as often."""
        return table.gather(self.below(name, rows, len(table)))

    def _salt(self, name: str) -> int:
        return int.from_bytes(blake2b(f"{self.seed}:{name}".encode(), digest_size=8).digest(), "big")


def row_numbers(count: int) -> pl.Series:
    return pl.int_range(count, dtype=pl.UInt64, eager=True)


def weighted(**shares: int) -> pl.Series:
    """A table for ``pick`` in which each value stands as often as its share says."""
    return pl.Series([value for value, share in shares.items() for _ in range(share)])
