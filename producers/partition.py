"""Where a key lies, for adapters."""

from bus.partition import partition_of

__all__ = ["partition_of"]
