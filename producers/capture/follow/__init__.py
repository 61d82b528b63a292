"""Following a table by PostgreSQL's log: read it, make events of it, send them, confirm."""
