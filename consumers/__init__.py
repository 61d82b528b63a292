"""Replicas: an agency's local, queryable copy of the registers it is entitled to."""
