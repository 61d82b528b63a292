"""Stores of a replica: SQLite by default, PostgreSQL by URL, one in memory as their twin."""
