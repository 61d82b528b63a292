"""The captured table as PostgreSQL's catalogue has it, and whether it can be captured. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from sqlalchemy import Connection, text

from bus.errors import ConfigInvalid
from producers.mapping import Mapping

TABLE = """\
SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind,
  c.relreplident AS identity, pg_has_role(c.relowner, 'USAGE') AS owned,
  pg_get_userbyid(c.relowner) AS owner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(:name)"""
NAMES = """\
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"""
COLUMNS = """\
SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
UNIQUE = """\
SELECT i.indisprimary AS is_primary, array(
  SELECT a.attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
  WHERE k.place <= i.indnkeyatts ORDER BY k.place)::text[] AS columns
FROM pg_index i
WHERE i.indrelid = to_regclass(:name) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"""


@dataclass(frozen=True, slots=True)
class Source:
    """A table, its columns with their types, its primary key, and the columns that make the register's key."""

    schema: str
    name: str
    columns: dict[str, str]
    primary: tuple[str, ...]
    wanted: tuple[str, ...]
    """Columns that the mapping reads, in the table's order."""
    key: tuple[str, ...]
    """Of these, in the mapping's order, those that make the key."""
    separator: str
    identity: str
    """PostgreSQL's letter for what its log says of a row that is gone: d (primary key), f (all), i (an index), n."""

    @property
    def quoted(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def find_source(connection: Connection, table: str, mapping: Mapping, key_field: str) -> Source:
    """Raises ConfigInvalid, in one line with the remedy, where the table cannot be captured with this mapping."""
    found = connection.execute(text(TABLE), {"name": regclass(table)}).one_or_none()
    if found is None:
        raise ConfigInvalid(f"--table {table}: no such table; {_near(connection, table)}")
    if found.kind == "p":
        raise ConfigInvalid(f"--table {table}: is partitioned; capture each of its partitions by its own name")
    if found.kind != "r":
        raise ConfigInvalid(f"--table {table}: is no table; capture the table that it is made of")
    if not found.owned:
        raise ConfigInvalid(f"--table {table}: missing rights; run this as its owner, {found.owner}")
    columns = {row.name: row.type for row in connection.execute(text(COLUMNS), {"name": regclass(table)})}
    unique = connection.execute(text(UNIQUE), {"name": regclass(table)}).all()
    primary = next((tuple(row.columns) for row in unique if row.is_primary), ())
    if not primary:
        raise ConfigInvalid(f"--table {table}: has no primary key; add one: ALTER TABLE {table} ADD PRIMARY KEY (…)")
    used = set(columns) - set(mapping.check(columns, table))
    key, separator = _key(mapping, columns, key_field)
    if not any(set(row.columns) <= set(key) for row in unique):
        raise ConfigInvalid(
            f"--table {table}: {', '.join(key)} makes the key {key_field} and is not unique; "
            f"add: ALTER TABLE {table} ADD UNIQUE ({', '.join(map(quoted, key))})"
        )
    wanted = tuple(name for name in columns if name in used)
    return Source(found.schema, found.name, columns, primary, wanted, key, separator, found.identity)


def check_database(connection: Connection) -> None:
    """Raises ConfigInvalid where it is another kind, its text may be in any encoding, or nothing can be made there."""
    if connection.dialect.name != "postgresql":
        raise ConfigInvalid("--url: capture is for PostgreSQL; elsewhere use the outbox or lienthong publish file")
    if connection.execute(text("SHOW server_encoding")).scalar() == "SQL_ASCII":
        raise ConfigInvalid(
            "the database has the encoding SQL_ASCII, so that its text may be in any; use lienthong publish file"
        )
    if not connection.execute(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")).scalar():
        raise ConfigInvalid("missing right CREATE on the schema; run as its owner: GRANT CREATE ON SCHEMA … TO …")


def _key(mapping: Mapping, columns: dict[str, str], key_field: str) -> tuple[tuple[str, ...], str]:
    target = next(each for each in mapping.targets if each.name == key_field)
    if target.constant is not None:
        raise ConfigInvalid(f"{mapping.name}: fields.{key_field}: a constant is no key; name the column that has it")
    places = mapping.places(columns)
    return tuple(places[name] for name in target.columns), target.separator


def regclass(table: str) -> str:
    """The name as a person writes it: ``persons``, ``office.persons``, or in PostgreSQL's own quotes."""
    return table if '"' in table else ".".join(quoted(part) for part in table.split("."))


def _near(connection: Connection, table: str) -> str:
    names: Sequence[str] = list(connection.execute(text(NAMES)).scalars())
    near = get_close_matches(table.rpartition(".")[2], names, n=1)
    return f"the nearest is {near[0]}" if near else "name it with its schema, such as office.persons"
