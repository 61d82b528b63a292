"""The transactional outbox: events that commit with the agency's own rows."""

from producers.outbox.enqueue import Outbox, Queued
from producers.outbox.settings import OutboxSettings

__all__ = ["Outbox", "OutboxSettings", "Queued"]
