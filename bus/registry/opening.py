"""The registry that the settings name, with a cache in front."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bus.registry.base import SchemaRegistry
from bus.registry.cache import CachedRegistry
from bus.registry.embedded import EmbeddedRegistry
from bus.registry.http import HttpRegistry
from bus.registry.shelf import Shelf
from bus.settings import KafkaSettings, RegistrySettings


@asynccontextmanager
async def open_registry(settings: RegistrySettings, kafka: KafkaSettings) -> AsyncIterator[SchemaRegistry]:
    """The HTTP registry where a URL is named, else the schemas topic. Opens also while neither answers."""
    shelf = Shelf(settings.cache_dir)
    if settings.url:
        async with HttpRegistry(settings) as http:
            yield CachedRegistry(http, shelf, http.address)
    else:
        async with EmbeddedRegistry(kafka, settings.topic) as embedded:
            yield CachedRegistry(embedded, shelf, f"{kafka.bootstrap_servers}/{settings.topic}")
