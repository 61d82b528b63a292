"""The triggers beside the tables: a version for rows that come without one, and on PostgreSQL the waking of the relay.

Each database's block is a list of whole statements.
"""

from collections.abc import Mapping, Sequence

from producers.outbox.table import CHANNEL, OUTBOX, VERSION

NEXT_VERSION = "lienthong_next_version"
"""PostgreSQL function (aggregatetype, aggregateid) → bigint, for triggers that write whole rows themselves."""

POSTGRESQL = (
    f"""\
CREATE OR REPLACE FUNCTION {NEXT_VERSION}(kind text, key text) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
  INSERT INTO {VERSION} AS v (aggregatetype, aggregateid, last)
  VALUES (kind, key, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
  ON CONFLICT (aggregatetype, aggregateid) DO UPDATE SET last = greatest(v.last + 1, excluded.last)
  RETURNING last
$$""",
    f"""\
CREATE OR REPLACE FUNCTION {OUTBOX}_versioned() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  NEW.version := {NEXT_VERSION}(NEW.aggregatetype, NEW.aggregateid);
  RETURN NEW;
END $$""",
    f"""\
CREATE OR REPLACE TRIGGER {OUTBOX}_version BEFORE INSERT ON {OUTBOX}
FOR EACH ROW WHEN (NEW.version IS NULL) EXECUTE FUNCTION {OUTBOX}_versioned()""",
    f"""\
CREATE OR REPLACE FUNCTION {OUTBOX}_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{CHANNEL}', '');
  RETURN NULL;
END $$""",
    f"""\
CREATE OR REPLACE TRIGGER {OUTBOX}_notify AFTER INSERT ON {OUTBOX}
FOR EACH STATEMENT EXECUTE FUNCTION {OUTBOX}_told()""",
)

# SQLite knows milliseconds at best; the version rule needs no more than that it rises.
SQLITE = (
    f"""\
CREATE TRIGGER IF NOT EXISTS {OUTBOX}_version AFTER INSERT ON {OUTBOX} WHEN NEW.version IS NULL
BEGIN
  INSERT INTO {VERSION} (aggregatetype, aggregateid, last)
  VALUES (NEW.aggregatetype, NEW.aggregateid, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
  ON CONFLICT (aggregatetype, aggregateid) DO UPDATE SET last = max(last + 1, excluded.last);
  UPDATE {OUTBOX} SET version = (
    SELECT last FROM {VERSION} WHERE aggregatetype = NEW.aggregatetype AND aggregateid = NEW.aggregateid
  ) WHERE seq = NEW.seq;
END""",
)

MYSQL = (
    f"""\
CREATE TRIGGER {OUTBOX}_version BEFORE INSERT ON {OUTBOX} FOR EACH ROW
BEGIN
  IF NEW.version IS NULL THEN
    INSERT INTO {VERSION} (aggregatetype, aggregateid, last)
    VALUES (NEW.aggregatetype, NEW.aggregateid, CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED))
    ON DUPLICATE KEY UPDATE last = GREATEST(last + 1, VALUES(last));
    SET NEW.version = (
      SELECT last FROM {VERSION} WHERE aggregatetype = NEW.aggregatetype AND aggregateid = NEW.aggregateid
    );
    SET NEW.created_at = UTC_TIMESTAMP(6);
  END IF;
END""",
)

CREATE: Mapping[str, Sequence[str]] = {"postgresql": POSTGRESQL, "sqlite": SQLITE, "mysql": MYSQL, "mariadb": MYSQL}
DROP: Mapping[str, Sequence[str]] = {
    "postgresql": (
        f"DROP FUNCTION IF EXISTS {OUTBOX}_told()",
        f"DROP FUNCTION IF EXISTS {OUTBOX}_versioned()",
        f"DROP FUNCTION IF EXISTS {NEXT_VERSION}(text, text)",
    ),
}
"""After the tables, whose own triggers go with them."""
