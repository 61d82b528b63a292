"""The triggers on a captured table, as statements. Pure.

They write small rows and leave mapping, cleaning and encoding to the relay: the agency's transactions pay for no more
than their columns as JSON, one insert, and the key's row in ``lienthong_version``. They run with the installer's
rights, so that the agency's users need none on the outbox.
"""

from typing import Literal

from producers.capture.source import Source, quoted
from producers.outbox.table import KEY_LENGTH, OUTBOX, ROW, VERSION
from producers.outbox.triggers import NEXT_VERSION

OnTruncate = Literal["refuse", "delete"]

EVENT_ID = """\
encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
    substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1),
    'hex')::uuid"""
"""A UUIDv7 on any PostgreSQL from 13 on."""

# 00_: triggers fire in the order of their names. One of the agency's own that changed the row once more, before this
# one, would have its event come first, and this older state would win.
ROW_FUNCTION = """\
CREATE FUNCTION {schema}.{name}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp SET timezone = 'UTC' AS $lienthong$
DECLARE
  old_row jsonb; new_row jsonb; old_key text; new_key text; old_version bigint; new_version bigint;
BEGIN
  IF TG_OP <> 'INSERT' THEN
    old_row := {old_row};
    old_key := {old_key};
  END IF;
  IF TG_OP <> 'DELETE' THEN
    new_row := {new_row};
    new_key := {new_key};
  END IF;
  IF old_row = new_row AND new_row ?& ARRAY[{wanted}] THEN
    RETURN NULL;
  END IF;
  IF new_key < old_key COLLATE "C" THEN
    new_version := {next_version}({kind}, new_key);
  END IF;
  IF old_key IS DISTINCT FROM new_key AND old_key IS NOT NULL THEN
    old_version := {next_version}({kind}, old_key);
    INSERT INTO {outbox} (id, aggregatetype, aggregateid, type, payload, format, version, source)
    VALUES ({event_id}, {kind}, old_key, 'DELETE', {old_payload}, '{form}', old_version, {source});
  END IF;
  IF new_key IS NOT NULL THEN
    new_version := coalesce(new_version, {next_version}({kind}, new_key));
    IF new_version <= old_version THEN
      new_version := old_version + 1;
      UPDATE {version} SET last = new_version WHERE aggregatetype = {kind} AND aggregateid = new_key;
    END IF;
    INSERT INTO {outbox} (id, aggregatetype, aggregateid, type, payload, format, version, source)
    VALUES ({event_id}, {kind}, new_key, 'UPSERT', {new_payload}, '{form}', new_version, {source});
  END IF;
  RETURN NULL;
END $lienthong$"""

TRUNCATE_REFUSED = """\
CREATE FUNCTION {schema}.{truncate}() RETURNS trigger LANGUAGE plpgsql AS $lienthong$
BEGIN
  RAISE EXCEPTION 'TRUNCATE of % is refused: its rows would live on in every replica', TG_RELID::regclass
    USING ERRCODE = 'feature_not_supported',
      HINT = 'Use DELETE, or capture the table by triggers with --on-truncate delete.';
END $lienthong$"""

TRUNCATE_DELETES = """\
CREATE FUNCTION {schema}.{truncate}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp SET timezone = 'UTC' AS $lienthong$
BEGIN
  INSERT INTO {outbox} (id, aggregatetype, aggregateid, type, payload, format, version, source)
  SELECT {event_id}, {kind}, key, 'DELETE', {row_payload}, '{form}', {next_version}({kind}, key), {source}
  FROM (SELECT {row_key} AS key, {row_json} AS old_row FROM ONLY {table} AS r ORDER BY 1) AS gone
  WHERE key IS NOT NULL;
  RETURN NULL;
END $lienthong$"""

TRIGGERS = (
    """\
CREATE TRIGGER "00_{name}" AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION {schema}.{name}()""",
    """\
CREATE TRIGGER "00_{truncate}" BEFORE TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{truncate}()""",
    # Also for rows that come by logical replication, which fires no ordinary trigger.
    """ALTER TABLE {table} ENABLE ALWAYS TRIGGER "00_{name}\"""",
    """ALTER TABLE {table} ENABLE ALWAYS TRIGGER "00_{truncate}\"""",
)


def row_function(number: int) -> str:
    return f"lienthong_capture_{number}"


def truncate_function(number: int) -> str:
    return f"lienthong_truncate_{number}"


def creation(source: Source, number: int, schema: str, kind: str, agency: str, on_truncate: OnTruncate) -> list[str]:
    """Functions and triggers; ``schema`` is the one of the outbox's tables, ``number`` the stored mapping's."""
    words = {
        "schema": quoted(schema),
        "table": source.quoted,
        "name": row_function(number),
        "truncate": truncate_function(number),
        "wanted": ", ".join(literal(name) for name in source.wanted),
        "old_row": row_json(source, "OLD"),
        "new_row": row_json(source, "NEW"),
        "row_json": row_json(source, "r"),
        "old_key": row_key(source, "old_row"),
        "new_key": row_key(source, "new_row"),
        "row_key": row_key(source, "to_jsonb(r)"),
        "old_payload": payload(number, "old_row"),
        "new_payload": payload(number, "new_row"),
        "row_payload": payload(number, "old_row"),
        "kind": literal(kind),
        "source": literal(f"/agencies/{agency}"),
        "event_id": EVENT_ID,
        "next_version": NEXT_VERSION,
        "outbox": OUTBOX,
        "version": VERSION,
        "form": ROW,
    }
    truncate = TRUNCATE_REFUSED if on_truncate == "refuse" else TRUNCATE_DELETES
    return [each.format(**words) for each in (ROW_FUNCTION, truncate, *TRIGGERS)]


def truncate_refusal(source: Source, number: int, schema: str) -> list[str]:
    """Only this one, for a table that is followed by the log."""
    words = {"schema": quoted(schema), "table": source.quoted, "truncate": truncate_function(number)}
    return [each.format(**words) for each in (TRUNCATE_REFUSED, TRIGGERS[1], TRIGGERS[3])]


def removal(table: str | None, number: int, schema: str) -> list[str]:
    """``table`` is None where it is gone, and its triggers with it."""
    names = row_function(number), truncate_function(number)
    triggers = [f'DROP TRIGGER IF EXISTS "00_{name}" ON {table}' for name in names] if table else []
    return [*triggers, *(f"DROP FUNCTION IF EXISTS {quoted(schema)}.{name}()" for name in names)]


def row_json(source: Source, row: str) -> str:
    """The mapped columns as JSON: dates and times in ISO 8601 whatever the session's settings are.

    A column that the agency has renamed or dropped since is left out: the relay names it, and no program of the
    agency's fails because of us.
    """
    names = ", ".join(literal(name) for name in source.wanted)
    return (
        "(SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}') "
        f"FROM jsonb_each(to_jsonb({row})) AS c WHERE c.key = ANY (ARRAY[{names}]))"
    )


def row_key(source: Source, row: str) -> str:
    """What the version is kept by: the key's columns as they stand in a row's JSON; null where they say nothing.

    A question mark where one of them is not there any more: the row is parked.
    """
    cells = ", ".join(f"{row} ->> {literal(name)}" for name in source.key)
    names = ", ".join(literal(name) for name in source.key)
    joined = f"nullif(left(concat_ws({literal(source.separator)}, {cells}), {KEY_LENGTH}), '')"
    return f"CASE WHEN {row} ?& ARRAY[{names}] THEN {joined} ELSE '?' END"


def payload(number: int, row: str) -> str:
    return f"""convert_to('{{"m":{number},"row":' || {row}::text || '}}', 'UTF8')"""


def literal(text: str) -> str:
    """A string of SQL's; backslashes are themselves, as standard_conforming_strings has them."""
    return "'" + text.replace("'", "''") + "'"
