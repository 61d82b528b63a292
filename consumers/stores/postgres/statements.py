"""SQL as PostgreSQL says it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from consumers.stores.model import Table
from consumers.stores.shape import LAYOUT, SHADOW, STAGE, Kind, names, quote, stored_columns, stored_kinds

TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "text",
    Kind.INTEGER: "bigint",
    Kind.REAL: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIME: "timestamp with time zone",
    Kind.DECIMAL: "numeric",
    Kind.BYTES: "bytea",
    Kind.JSON: "jsonb",
}

OPENING_LOCK = 0x4C69656E  # "Lien": daemons that open one database take turns

BOOKKEEPING = f"""
    CREATE TABLE _lienthong_meta (name text PRIMARY KEY, value text NOT NULL);
    CREATE TABLE _lienthong_registers (
        register text PRIMARY KEY, shape text NOT NULL, phase text NOT NULL, filling boolean NOT NULL,
        fingerprint text, shadow_fingerprint text, generation bigint NOT NULL
    );
    CREATE TABLE _lienthong_positions (
        register text NOT NULL, slot text NOT NULL, topic text NOT NULL, "partition" integer NOT NULL,
        topic_id text NOT NULL, next_offset bigint NOT NULL, epoch bigint NOT NULL, owner text NOT NULL,
        caught_up_at timestamptz, PRIMARY KEY (register, slot, topic, "partition")
    ) WITH (fillfactor = 50);
    CREATE TABLE _lienthong_graves (
        register text NOT NULL, hash bytea NOT NULL, version bigint NOT NULL, stored_at timestamptz NOT NULL,
        PRIMARY KEY (register, hash)
    );
    CREATE TABLE _lienthong_dead (
        register text NOT NULL, key text COLLATE "C" NOT NULL, version bigint NOT NULL, hash bytea NOT NULL,
        filled boolean NOT NULL
    );
    CREATE TABLE _lienthong_parked (
        topic_id text COLLATE "C" NOT NULL, "partition" integer NOT NULL, "offset" bigint NOT NULL,
        register text COLLATE "C" NOT NULL, topic text NOT NULL, reason text COLLATE "C" NOT NULL, detail text NOT NULL,
        key bytea, value bytea, headers text NOT NULL, kafka_timestamp_ms bigint NOT NULL,
        parked_at timestamptz NOT NULL DEFAULT now(), replays integer NOT NULL DEFAULT 0, forwarded_at timestamptz,
        dismissed_at timestamptz, refilled boolean NOT NULL DEFAULT false, PRIMARY KEY (topic_id, "partition", "offset")
    );
    CREATE INDEX _lienthong_parked_kinds ON _lienthong_parked (register, reason, forwarded_at)
        WHERE dismissed_at IS NULL;
    CREATE INDEX _lienthong_parked_waiting ON _lienthong_parked (topic_id, "partition", "offset")
        WHERE forwarded_at IS NULL AND dismissed_at IS NULL;
    CREATE TABLE _lienthong_counters (
        register text NOT NULL, slot text NOT NULL, outcome text NOT NULL, value bigint NOT NULL,
        PRIMARY KEY (register, slot, outcome)
    ) WITH (fillfactor = 50);
    CREATE TABLE _lienthong_changes (
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(), n bigint GENERATED ALWAYS AS IDENTITY,
        register text NOT NULL, keys text[] STORAGE EXTERNAL NOT NULL, ops text[],
        versions bigint[] STORAGE EXTERNAL NOT NULL, recorded timestamptz[] STORAGE EXTERNAL NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (xid, n)
    );
    INSERT INTO _lienthong_meta (name, value) VALUES ('layout', '{LAYOUT}'), ('changes_floor', '0.0.0')
"""
"""``dead`` has the deletes seen while a shadow fills, by key, until its finish turns them into graves.

``parked`` keeps the origins of dismissed events, so that a rebuild does not park them again; ``refilled`` are those
that the fill under way has parked.

Positions and counters change with every commit: half-empty pages let that happen within a page.

``changes`` has a row for each batch, with an entry for each change; no ``ops`` means that all are UPSERT. As a row for
each change the feed cost a quarter of an update, as arrays a tenth.
"""


def _columns(table: Table) -> str:
    """Keys compare by code point, as in SQLite, whatever the database's language."""
    keys = {table.key_field: ' COLLATE "C" NOT NULL', table.subject_key: ' COLLATE "C"'}
    keys[table.key_field] = ' COLLATE "C" NOT NULL'
    return ", ".join(f"{quote(name)} {TYPES[kind]}{keys.get(name, '')}" for name, kind in stored_kinds(table).items())


def create_table(table: Table) -> str:
    return f"CREATE TABLE {quote(table.name)} ({_columns(table)}) WITH ({ROOM}, {VACUUM})"


VACUUM = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05"
"""A night that changes every row is cleaned up behind in twentieths, not once after a fifth of 14 million."""

ROOM = "fillfactor = 50"
"""The same night finds room for each row's next version on its own page, so that no index changes: 148,000 rows a
second instead of 106,000. Without it the table would be twice as large after that night too."""


def create_shadow(table: Table) -> str:
    """Logged like any table: an unlogged one is emptied by a crash, which its positions would not know."""
    return f"CREATE TABLE {quote(SHADOW + table.name)} ({_columns(table)}) WITH ({ROOM}, autovacuum_enabled = false)"


def vacuum_from_now_on(table: Table) -> str:
    shadow = quote(SHADOW + table.name)
    return f"ALTER TABLE {shadow} RESET (autovacuum_enabled); ALTER TABLE {shadow} SET ({VACUUM})"


@lru_cache(maxsize=256)
def create_stage(table: Table) -> str:
    return f"CREATE TEMP TABLE IF NOT EXISTS {quote(STAGE + table.name)} ({_columns(table)}) ON COMMIT DELETE ROWS"


@lru_cache(maxsize=256)
def copy_into(name: str, table: Table) -> str:
    return f"COPY {quote(name)} ({names(stored_columns(table))}) FROM STDIN"


def add_key(table: Table, on: str, generation: int) -> str:
    constraint = quote(f"{table.name}_key_{generation}")
    return f"ALTER TABLE {quote(on)} ADD CONSTRAINT {constraint} PRIMARY KEY ({quote(table.key_field)})"


def subject_index(table: Table, on: str, generation: int) -> str | None:
    if table.subject_key == table.key_field:
        return None
    index = quote(f"{table.name}_subject_{generation}")
    return f"CREATE INDEX {index} ON {quote(on)} ({quote(table.subject_key)})"


def _from_stage(table: Table) -> str:
    return f"SELECT {names(stored_columns(table))} FROM {quote(STAGE + table.name)}"


def _from_parameters(table: Table) -> str:
    kinds = stored_kinds(table)
    cast = ", ".join(f"given.{quote(name)}::{TYPES[kind]}" for name, kind in kinds.items())
    arrays = ", ".join(["%s::text[]"] * len(kinds))
    return f"SELECT {cast} FROM unnest({arrays}) AS given ({names(kinds)})"


@lru_cache(maxsize=256)
def upsert(table: Table, *, staged: bool, feed: bool) -> str:
    """One statement for all rows; gives how many were newer than what the table held.

    Rows come from the stage, or as one array of text for each column. With ``feed``, the register's name is the last
    parameter.
    """
    columns, key = list(stored_columns(table)), quote(table.key_field)
    changed = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in columns if name != table.key_field)
    feeding = f", fed AS ({_FEED} SELECT %s, {_ENTRIES} FROM put HAVING count(*) > 0)" if feed else ""
    return (
        f"WITH put AS (INSERT INTO {quote(table.name)} AS held ({names(columns)}) "
        f"{_from_stage(table) if staged else _from_parameters(table)} "
        f"ON CONFLICT ({key}) DO UPDATE SET {changed} WHERE excluded._version > held._version "
        f"RETURNING held.{key} AS key, held._version, held._recorded_at, held._replaced_by){feeding} "
        "SELECT count(*) FROM put"
    )


_FEED = "INSERT INTO _lienthong_changes (register, keys, ops, versions, recorded)"
_ENTRIES = """array_agg(key), CASE WHEN count(_replaced_by) > 0
    THEN array_agg(CASE WHEN _replaced_by IS NULL THEN 'UPSERT' ELSE 'MERGE' END) END,
    array_agg(_version), array_agg(_recorded_at)"""

_DELETES = """given AS (
    SELECT * FROM unnest(%(keys)s::text[], %(versions)s::bigint[], %(hashes)s::bytea[], %(times)s::timestamptz[])
    AS given (key, version, hash, recorded_at))"""

_MAKE_DEAD = "INSERT INTO _lienthong_dead (register, key, version, hash, filled)"


@lru_cache(maxsize=256)
def bury(table: Table, *, feed: bool, filling: bool) -> str:
    """Deletes newer than the row, or, where there is none, newer than the grave; gives how many stood."""
    live, key = quote(table.name), quote(table.key_field)
    fed = f""", fed AS ({_FEED} SELECT %(register)s, array_agg(key), array_agg('DELETE'::text), array_agg(version),
        array_agg(recorded_at) FROM stood HAVING count(*) > 0)"""
    noted = f", noted AS ({_MAKE_DEAD} SELECT %(register)s, key, version, hash, false FROM stood)"
    return f"""WITH {_DELETES}, stood AS (
        SELECT given.* FROM given LEFT JOIN {live} AS held ON held.{key} = given.key
        LEFT JOIN _lienthong_graves AS grave ON grave.register = %(register)s AND grave.hash = given.hash
        WHERE held._version < given.version
        OR (held._version IS NULL AND (grave.version IS NULL OR grave.version < given.version))
    ), gone AS (
        DELETE FROM {live} USING stood WHERE {live}.{key} = stood.key
    ), dug AS (
        INSERT INTO _lienthong_graves AS grave (register, hash, version, stored_at)
        SELECT %(register)s, hash, version, now() FROM stood
        ON CONFLICT (register, hash) DO UPDATE SET version = excluded.version, stored_at = excluded.stored_at
        WHERE excluded.version > grave.version
    ){fed if feed else ""}{noted if filling else ""} SELECT count(*) FROM stood"""


NOTE_DEAD = f"""WITH {_DELETES} {_MAKE_DEAD} SELECT %(register)s, key, version, hash, true FROM given
    WHERE NOT EXISTS (SELECT FROM _lienthong_graves AS grave
        WHERE grave.register = %(register)s AND grave.hash = given.hash AND grave.version >= given.version)"""

HAS_GRAVES = "SELECT EXISTS (SELECT FROM _lienthong_graves WHERE register = %s)"

GRAVES = "SELECT hash, version FROM _lienthong_graves WHERE register = %s AND hash = ANY(%s)"


def keep_newest(table: Table) -> str:
    """Remove from the shadow all but each key's newest version; of equal ones the first that came stays."""
    shadow, key = quote(SHADOW + table.name), quote(table.key_field)
    return (
        f"DELETE FROM {shadow} WHERE ctid = ANY (ARRAY (SELECT ctid FROM (SELECT ctid, row_number() OVER "
        f"(PARTITION BY {key} ORDER BY _version DESC, ctid) AS place FROM {shadow}) AS ranked WHERE place > 1))"
    )


def _newest_dead(*, filled: bool) -> str:
    return (
        "(SELECT key, max(version) AS version FROM _lienthong_dead WHERE register = %s"
        f"{' AND filled' if filled else ''} GROUP BY key) AS dead"
    )


def bury_shadow(table: Table) -> str:
    shadow, key = quote(SHADOW + table.name), quote(table.key_field)
    return (
        f"DELETE FROM {shadow} USING {_newest_dead(filled=False)} "
        f"WHERE {shadow}.{key} = dead.key AND {shadow}._version <= dead.version"
    )


def count_dead(table: Table) -> str:
    """How many of the shadow's deletes are the newest that is known of their key."""
    shadow, key = quote(SHADOW + table.name), quote(table.key_field)
    return (
        f"SELECT count(*) FROM {_newest_dead(filled=True)} "
        f"WHERE NOT EXISTS (SELECT FROM {shadow} AS held WHERE held.{key} = dead.key)"
    )


GRAVES_FROM_DEAD = """INSERT INTO _lienthong_graves AS grave (register, hash, version, stored_at)
    SELECT register, hash, max(version), now() FROM _lienthong_dead WHERE register = %s GROUP BY register, hash
    ON CONFLICT (register, hash) DO UPDATE SET version = excluded.version, stored_at = excluded.stored_at
    WHERE excluded.version > grave.version"""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Whatever the server's default: what is read after a lock must be what its last holder left."""

COMMIT_SOON = "SET LOCAL synchronous_commit = off"
"""For a shadow: a server that crashes may lose its last batches, but with their positions, and they are read again. The
swap waits for the disk, and so for all before it."""

LOCK_REGISTER = "SELECT phase, filling, generation FROM _lienthong_registers WHERE register = %s FOR"
"""``SHARE`` for a batch, ``UPDATE`` for what changes tables; always before any other lock of the register's."""

POSITIONS = """SELECT topic, "partition", topic_id, next_offset, epoch, caught_up_at
    FROM _lienthong_positions WHERE register = %s AND slot = %s"""

LOCK_POSITIONS = f"""{POSITIONS} AND (topic, "partition") IN (SELECT * FROM unnest(%s::text[], %s::integer[]))
    ORDER BY topic, "partition" FOR UPDATE"""

CLAIM = """INSERT INTO _lienthong_positions AS held
    (register, slot, topic, "partition", topic_id, next_offset, epoch, owner)
    SELECT %s, %s, topic, "partition", topic_id, 0, 1, %s
    FROM unnest(%s::text[], %s::integer[], %s::text[]) AS given (topic, "partition", topic_id)
    ORDER BY topic, "partition"
    ON CONFLICT (register, slot, topic, "partition") DO UPDATE SET epoch = held.epoch + 1, owner = excluded.owner"""

ADVANCE = """UPDATE _lienthong_positions AS held
    SET next_offset = given.next_offset, caught_up_at = coalesce(given.caught_up_at, held.caught_up_at)
    FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::timestamptz[])
    AS given (topic, "partition", next_offset, caught_up_at)
    WHERE held.register = %s AND held.slot = %s
    AND (held.topic, held."partition") = (given.topic, given."partition")"""

STATUS = """SELECT phase, filling, fingerprint, generation, shape,
    EXISTS (SELECT FROM _lienthong_meta WHERE name = 'rebuild:' || register)
    FROM _lienthong_registers WHERE register = %s"""

ASK_REBUILD = """INSERT INTO _lienthong_meta (name, value)
    SELECT 'rebuild:' || register, now()::text FROM _lienthong_registers WHERE register = %s
    ON CONFLICT (name) DO UPDATE SET value = excluded.value"""

ANSWER_REBUILD = "DELETE FROM _lienthong_meta WHERE name = 'rebuild:' || %s"

SWAP_POSITIONS = (
    """UPDATE _lienthong_positions AS shadow SET epoch = 1 + greatest(epoch, (SELECT live.epoch
        FROM _lienthong_positions AS live WHERE live.register = shadow.register AND live.slot = 'live'
        AND live.topic = shadow.topic AND live."partition" = shadow."partition"))
        WHERE register = %s AND slot = 'shadow'""",
    "DELETE FROM _lienthong_positions WHERE register = %s AND slot = 'live'",
    "UPDATE _lienthong_positions SET slot = 'live' WHERE register = %s AND slot = 'shadow'",
)

COUNT = """INSERT INTO _lienthong_counters AS held (register, slot, outcome, value)
    SELECT %s, %s, outcome, value FROM unnest(%s::text[], %s::bigint[]) AS given (outcome, value) ORDER BY outcome
    ON CONFLICT (register, slot, outcome) DO UPDATE SET value = held.value + excluded.value"""

PARK = """INSERT INTO _lienthong_parked (topic_id, "partition", "offset", register, topic, reason, detail, key, value,
    headers, kafka_timestamp_ms) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""

PARK_REFILLED = """INSERT INTO _lienthong_parked (topic_id, "partition", "offset", register, topic, reason, detail, key,
    value, headers, kafka_timestamp_ms, refilled) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, true)
    ON CONFLICT (topic_id, "partition", "offset") DO UPDATE SET refilled = true"""

FORGET_REFILLED = "UPDATE _lienthong_parked SET refilled = false WHERE register = %s AND refilled"

UNPARK_READ_AGAIN = """DELETE FROM _lienthong_parked AS parked USING _lienthong_positions AS at
    WHERE parked.register = %s AND NOT parked.refilled AND parked.dismissed_at IS NULL
    AND at.register = parked.register AND at.slot = 'shadow' AND at.topic = parked.topic
    AND at.topic_id = parked.topic_id AND at."partition" = parked."partition"
    AND parked."offset" < at.next_offset"""
"""What a fill has read without parking it is in its rows, or has been compacted away behind a newer event."""

_PARKED = """SELECT topic_id, "partition", "offset", register, topic, reason, detail, key, value, headers,
    kafka_timestamp_ms, parked_at, replays, forwarded_at FROM _lienthong_parked WHERE dismissed_at IS NULL"""

PARKED_EVENT = f"""{_PARKED} AND topic_id = %s AND "partition" = %s AND "offset" = %s"""

_PARKED_WHERE = {
    "register": "register = %(register)s",
    "reason": "reason = %(reason)s",
    "since": "parked_at >= %(since)s",
    "until": "parked_at < %(until)s",
    "waiting": "forwarded_at IS NULL",
    "after": """(topic_id, "partition", "offset") > (%(topic_id)s, %(partition)s, %(offset)s)""",
}


def parked(given: Iterable[str]) -> str:
    """A page of parked events; ``given`` names the conditions that it is to meet."""
    where = "".join(f" AND {_PARKED_WHERE[name]}" for name in given)
    return f'{_PARKED}{where} ORDER BY topic_id, "partition", "offset" LIMIT %(limit)s'


PARKED_COUNTS = """SELECT register, reason, count(*), count(*) FILTER (WHERE forwarded_at IS NULL)
    FROM _lienthong_parked WHERE dismissed_at IS NULL GROUP BY register, reason ORDER BY register, reason"""

WAITING = "SELECT count(*) FROM _lienthong_parked WHERE forwarded_at IS NULL AND dismissed_at IS NULL"

_ORIGINS = """dismissed_at IS NULL AND (topic_id, "partition", "offset") IN (
    SELECT * FROM unnest(%(topic_ids)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[]))"""
"""Parked events by their origins, a column at a time."""

LOCK_PARKED = f"""SELECT count(*) FROM (SELECT FROM _lienthong_parked WHERE {_ORIGINS}
    ORDER BY topic_id, "partition", "offset" FOR UPDATE) AS found"""

SETTLE = f"DELETE FROM _lienthong_parked WHERE {_ORIGINS}"

STAND = """UPDATE _lienthong_parked SET reason = %s, detail = %s, replays = replays + 1
    WHERE topic_id = %s AND "partition" = %s AND "offset" = %s"""

DISMISS = f"""WITH gone AS (
        UPDATE _lienthong_parked SET dismissed_at = now(), detail = '', key = NULL, value = NULL, headers = '[]'
        WHERE {_ORIGINS} RETURNING register
    ) SELECT register, count(*) FROM gone GROUP BY register ORDER BY register"""

FORWARDED = f"UPDATE _lienthong_parked SET forwarded_at = now() WHERE {_ORIGINS}"

SHAPE = "SELECT shape FROM _lienthong_registers WHERE register = %s"

CHANGES = """SELECT xid::text AS transaction_id, n, place, register, key, coalesce(op, 'UPSERT'), version, recorded_at
    FROM _lienthong_changes, unnest(keys, ops, versions, recorded)
    WITH ORDINALITY AS entry (key, op, version, recorded_at, place)
    WHERE (xid, n) >= (%(xid)s::xid8, %(n)s) AND (xid, n, place) > (%(xid)s::xid8, %(n)s, %(place)s)
    AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, n, place LIMIT %(limit)s"""
"""Entries come in order of their transactions' ids, and only once no transaction with a lower id can still commit."""

PRUNE_GRAVES = """DELETE FROM _lienthong_graves WHERE stored_at < %s
    AND register NOT IN (SELECT register FROM _lienthong_parked WHERE dismissed_at IS NULL)"""

PRUNE_CHANGES = """WITH last AS (
        SELECT xid, n, cardinality(keys) AS place FROM _lienthong_changes WHERE stored_at < %s
        ORDER BY xid DESC, n DESC LIMIT 1
    ), gone AS (
        DELETE FROM _lienthong_changes USING last
        WHERE (_lienthong_changes.xid, _lienthong_changes.n) <= (last.xid, last.n)
    )
    UPDATE _lienthong_meta SET value = concat_ws('.', last.xid, last.n, last.place) FROM last
    WHERE name = 'changes_floor'"""

GRANTS = """SELECT format('GRANT %%s ON %%s TO %%s%%s', given.privilege_type, %(relation)s::text,
        CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(given.grantee)) END,
        CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_class, aclexplode(relacl) AS given WHERE pg_class.oid = to_regclass(%(relation)s) AND grantee <> relowner"""
"""What others were granted on a relation, as statements that grant it again to its successor of the same name."""


def select(table: Table, where: str) -> str:
    return f"SELECT {names(stored_columns(table))} FROM {quote(table.name)} {where}"


def lock_for_reading(tables: Sequence[Table]) -> str:
    """Taken before the snapshot: a swap comes wholly before it or after it."""
    return f"LOCK TABLE {names(table.name for table in tables)} IN ACCESS SHARE MODE"
