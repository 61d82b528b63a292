"""Replicas: an agency's local, queryable copy of the registers it is entitled to."""

from consumers.lookup import Field, Replica, Subject

__all__ = ["Field", "Replica", "Subject"]
