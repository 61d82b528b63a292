"""Schema registries: two ways to the ids behind one interface."""

from bus.registry.base import Registered, Schema, SchemaRegistry
from bus.registry.memory import MemoryRegistry
from bus.registry.opening import open_registry

__all__ = ["MemoryRegistry", "Registered", "Schema", "SchemaRegistry", "open_registry"]
