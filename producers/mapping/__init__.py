"""Mapping files: which of a source's columns make which fields of a register, by which rules."""

from producers.mapping.mapping import Cleaned, Mapping, counts

__all__ = ["Cleaned", "Mapping", "counts"]
