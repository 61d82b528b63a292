"""Adapters: how an agency's changes get onto the bus."""

from producers.blocking import BlockingPublisher
from producers.lane import Receipt
from producers.publisher import Publisher
from producers.settings import PublisherSettings

__all__ = ["BlockingPublisher", "Publisher", "PublisherSettings", "Receipt"]
