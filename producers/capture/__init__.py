"""Change capture for systems nobody can change: triggers that feed the outbox, or PostgreSQL's own log."""
