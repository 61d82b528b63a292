"""SQL as SQLite says it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from consumers.stores.model import Table
from consumers.stores.shape import SHADOW, STAGE, names, quote, stored_columns, stored_kinds
from consumers.stores.sqlite.types import TYPES

APPLICATION_ID = 0x4C546E67  # "LTng" in the file's header: whose file this is

BOOKKEEPING = (
    """CREATE TABLE _lienthong_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE _lienthong_registers (
        register TEXT PRIMARY KEY, shape TEXT NOT NULL, phase TEXT NOT NULL, filling INTEGER NOT NULL,
        fingerprint TEXT, shadow_fingerprint TEXT, generation INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE _lienthong_positions (
        register TEXT NOT NULL, slot TEXT NOT NULL, topic TEXT NOT NULL, "partition" INTEGER NOT NULL,
        topic_id TEXT NOT NULL, next_offset INTEGER NOT NULL, epoch INTEGER NOT NULL, owner TEXT NOT NULL,
        caught_up_at TEXT, PRIMARY KEY (register, slot, topic, "partition")
    ) WITHOUT ROWID""",
    """CREATE TABLE _lienthong_graves (
        register TEXT NOT NULL, hash TEXT NOT NULL, version INTEGER NOT NULL, stored_at TEXT NOT NULL,
        PRIMARY KEY (register, hash)
    ) WITHOUT ROWID""",
    """CREATE TABLE _lienthong_dead (
        register TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, hash TEXT NOT NULL,
        filled INTEGER NOT NULL
    )""",
    """CREATE TABLE _lienthong_parked (
        topic_id TEXT NOT NULL, "partition" INTEGER NOT NULL, "offset" INTEGER NOT NULL, register TEXT NOT NULL,
        topic TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, key BLOB, value BLOB, headers TEXT NOT NULL,
        kafka_timestamp_ms INTEGER NOT NULL, parked_at TEXT NOT NULL, replays INTEGER NOT NULL DEFAULT 0,
        forwarded_at TEXT, dismissed_at TEXT, refilled INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (topic_id, "partition", "offset")
    )""",
    """CREATE INDEX _lienthong_parked_kinds ON _lienthong_parked (register, reason, forwarded_at)
        WHERE dismissed_at IS NULL""",
    """CREATE INDEX _lienthong_parked_waiting ON _lienthong_parked (topic_id, "partition", "offset")
        WHERE forwarded_at IS NULL AND dismissed_at IS NULL""",
    """CREATE TABLE _lienthong_counters (
        register TEXT NOT NULL, slot TEXT NOT NULL, outcome TEXT NOT NULL, value INTEGER NOT NULL,
        PRIMARY KEY (register, slot, outcome)
    ) WITHOUT ROWID""",
    """CREATE TABLE _lienthong_changes (
        n INTEGER PRIMARY KEY AUTOINCREMENT, register TEXT NOT NULL, key TEXT NOT NULL, op TEXT NOT NULL,
        version INTEGER NOT NULL, recorded_at TEXT NOT NULL, stored_at TEXT NOT NULL
    )""",
    """INSERT INTO sqlite_sequence (name, seq) VALUES ('_lienthong_changes', 0)""",
)
"""``dead`` has the deletes seen while a shadow fills, by key, until its finish turns them into graves.

``parked`` keeps the origins of dismissed events, so that a rebuild does not park them again; ``refilled`` are those
that the fill under way has parked.
"""

SKIP_NUMBERS = """UPDATE sqlite_sequence SET seq = ((seq >> 32) + 1) << 32 WHERE name = '_lienthong_changes'"""
"""At every start, synced: numbers that a power cut took back, and somebody may have seen, are never given again."""

DELETES = "_lienthong_stage_deletes"
CREATE_DELETES = f"""CREATE TEMP TABLE IF NOT EXISTS {DELETES} (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, hash TEXT NOT NULL, recorded_at TEXT NOT NULL
)"""


@lru_cache(maxsize=256)
def create_table(name: str, table: Table, *, temporary: bool = False) -> str:
    """The key's uniqueness is an index of its own, built when the rows are in."""
    columns = [f"{quote(column)} {TYPES[kind]}" for column, kind in stored_kinds(table).items()]
    columns[0] += " NOT NULL"
    making = "CREATE TEMP TABLE IF NOT EXISTS" if temporary else "CREATE TABLE"
    return f"{making} {quote(name)} ({', '.join(columns)})"


def key_index(table: Table, on: str, generation: int) -> str:
    index = quote(f"{table.name}_key_{generation}")
    return f"CREATE UNIQUE INDEX {index} ON {quote(on)} ({quote(table.key_field)})"


def subject_index(table: Table, on: str, generation: int) -> str | None:
    if table.subject_key == table.key_field:
        return None
    index = quote(f"{table.name}_subject_{generation}")
    return f"CREATE INDEX {index} ON {quote(on)} ({quote(table.subject_key)})"


@lru_cache(maxsize=256)
def insert(name: str, table: Table) -> str:
    columns = list(stored_columns(table))
    return f"INSERT INTO {quote(name)} ({names(columns)}) VALUES ({', '.join('?' * len(columns))})"


@lru_cache(maxsize=256)
def upsert_from_stage(table: Table) -> str:
    columns = list(stored_columns(table))
    live, key = quote(table.name), quote(table.key_field)
    changed = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in columns if name != table.key_field)
    return (
        f"INSERT INTO {live} ({names(columns)}) SELECT {names(columns)} FROM temp.{quote(STAGE + table.name)} "
        f"WHERE true ON CONFLICT ({key}) DO UPDATE SET {changed} WHERE excluded._version > {live}._version"
    )


@lru_cache(maxsize=256)
def changes_from_stage(table: Table) -> str:
    """Entries for the rows that the upsert will take; run before it, in the same transaction."""
    key = quote(table.key_field)
    return (
        "INSERT INTO _lienthong_changes (register, key, op, version, recorded_at, stored_at) "
        f"SELECT ?, s.{key}, CASE WHEN s._replaced_by IS NULL THEN 'UPSERT' ELSE 'MERGE' END, s._version, "
        f"s._recorded_at, ? FROM temp.{quote(STAGE + table.name)} AS s LEFT JOIN {quote(table.name)} AS t "
        f"ON t.{key} = s.{key} WHERE t._version IS NULL OR t._version < s._version"
    )


@lru_cache(maxsize=256)
def forget_stale_deletes(table: Table) -> str:
    """Leave of the staged deletes those newer than the row, or, where there is none, newer than the grave."""
    live, key = quote(table.name), quote(table.key_field)
    row = f"SELECT 1 FROM {live} AS t WHERE t.{key} = d.key"
    return (
        f"DELETE FROM temp.{DELETES} AS d WHERE EXISTS ({row} AND t._version >= d.version) "
        f"OR (NOT EXISTS ({row}) AND EXISTS (SELECT 1 FROM _lienthong_graves AS g "
        "WHERE g.register = ? AND g.hash = d.hash AND g.version >= d.version))"
    )


FORGET_BURIED_DELETES = f"""DELETE FROM temp.{DELETES} AS d WHERE EXISTS (SELECT 1 FROM _lienthong_graves AS g
    WHERE g.register = ? AND g.hash = d.hash AND g.version >= d.version)"""


def delete_staged(table: Table) -> str:
    return f"DELETE FROM {quote(table.name)} WHERE {quote(table.key_field)} IN (SELECT key FROM temp.{DELETES})"


DIG_GRAVES = f"""INSERT INTO _lienthong_graves (register, hash, version, stored_at)
    SELECT ?, hash, version, ? FROM temp.{DELETES} WHERE true
    ON CONFLICT (register, hash) DO UPDATE SET version = excluded.version, stored_at = excluded.stored_at
    WHERE excluded.version > _lienthong_graves.version"""

FEED_DELETES = f"""INSERT INTO _lienthong_changes (register, key, op, version, recorded_at, stored_at)
    SELECT ?, key, 'DELETE', version, recorded_at, ? FROM temp.{DELETES}"""

NOTE_DEAD = f"""INSERT INTO _lienthong_dead (register, key, version, hash, filled)
    SELECT ?, key, version, hash, ? FROM temp.{DELETES}"""


def keep_newest(table: Table) -> str:
    """Remove from the shadow all but each key's newest version; of equal ones the first that came stays."""
    shadow, key = quote(SHADOW + table.name), quote(table.key_field)
    return (
        f"DELETE FROM {shadow} WHERE rowid IN (SELECT rowid FROM (SELECT rowid, row_number() OVER "
        f"(PARTITION BY {key} ORDER BY _version DESC, rowid) AS place FROM {shadow}) WHERE place > 1)"
    )


def _newest_dead(*, filled: bool) -> str:
    return (
        "(SELECT key, max(version) AS version FROM _lienthong_dead WHERE register = ?"
        f"{' AND filled' if filled else ''} GROUP BY key)"
    )


def bury_shadow(table: Table) -> str:
    shadow, key = quote(SHADOW + table.name), quote(table.key_field)
    return (
        f"DELETE FROM {shadow} WHERE rowid IN (SELECT s.rowid FROM {_newest_dead(filled=False)} AS d "
        f"JOIN {shadow} AS s ON s.{key} = d.key WHERE s._version <= d.version)"
    )


def count_dead(table: Table) -> str:
    """How many of the shadow's deletes are the newest that is known of their key."""
    shadow, key = quote(SHADOW + table.name), quote(table.key_field)
    return (
        f"SELECT count(*) FROM {_newest_dead(filled=True)} AS d "
        f"WHERE NOT EXISTS (SELECT 1 FROM {shadow} AS s WHERE s.{key} = d.key)"
    )


GRAVES_FROM_DEAD = """INSERT INTO _lienthong_graves (register, hash, version, stored_at)
    SELECT register, hash, max(version), ? FROM _lienthong_dead WHERE register = ? GROUP BY register, hash
    ON CONFLICT (register, hash) DO UPDATE SET version = excluded.version, stored_at = excluded.stored_at
    WHERE excluded.version > _lienthong_graves.version"""

CLAIM = """INSERT INTO _lienthong_positions
    (register, slot, topic, "partition", topic_id, next_offset, epoch, owner, caught_up_at)
    VALUES (?, ?, ?, ?, ?, 0, 1, ?, NULL)
    ON CONFLICT (register, slot, topic, "partition")
    DO UPDATE SET epoch = _lienthong_positions.epoch + 1, owner = excluded.owner"""

ADVANCE = """UPDATE _lienthong_positions SET next_offset = ?, caught_up_at = coalesce(?, caught_up_at)
    WHERE register = ? AND slot = ? AND topic = ? AND "partition" = ?"""

STATUS = """SELECT phase, filling, fingerprint, generation,
    EXISTS (SELECT 1 FROM _lienthong_meta WHERE name = 'rebuild:' || register)
    FROM _lienthong_registers WHERE register = ?"""

ASK_REBUILD = """INSERT INTO _lienthong_meta (name, value) VALUES ('rebuild:' || ?, ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value"""

ANSWER_REBUILD = "DELETE FROM _lienthong_meta WHERE name = 'rebuild:' || ?"

SWAP_POSITIONS = (
    """UPDATE _lienthong_positions SET epoch = 1 + max(epoch, coalesce((SELECT p.epoch FROM _lienthong_positions AS p
        WHERE p.register = _lienthong_positions.register AND p.slot = 'live' AND p.topic = _lienthong_positions.topic
        AND p."partition" = _lienthong_positions."partition"), 0)) WHERE register = ? AND slot = 'shadow'""",
    """DELETE FROM _lienthong_positions WHERE register = ? AND slot = 'live'""",
    """UPDATE _lienthong_positions SET slot = 'live' WHERE register = ? AND slot = 'shadow'""",
)

COUNT = """INSERT INTO _lienthong_counters (register, slot, outcome, value) VALUES (?, ?, ?, ?)
    ON CONFLICT (register, slot, outcome) DO UPDATE SET value = _lienthong_counters.value + excluded.value"""

PARK = """INSERT INTO _lienthong_parked (topic_id, "partition", "offset", register, topic, reason, detail, key, value,
    headers, kafka_timestamp_ms, parked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING"""

PARK_REFILLED = """INSERT INTO _lienthong_parked (topic_id, "partition", "offset", register, topic, reason, detail, key,
    value, headers, kafka_timestamp_ms, parked_at, refilled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
    ON CONFLICT DO UPDATE SET refilled = 1"""

FORGET_REFILLED = "UPDATE _lienthong_parked SET refilled = 0 WHERE register = ? AND refilled"

UNPARK_READ_AGAIN = """DELETE FROM _lienthong_parked AS parked WHERE register = ? AND NOT refilled
    AND dismissed_at IS NULL AND EXISTS (SELECT 1 FROM _lienthong_positions AS at
        WHERE at.register = parked.register AND at.slot = 'shadow' AND at.topic = parked.topic
        AND at.topic_id = parked.topic_id AND at."partition" = parked."partition"
        AND at.next_offset > parked."offset")"""
"""What a fill has read without parking it is in its rows, or has been compacted away behind a newer event."""

_PARKED = """SELECT topic_id, "partition", "offset", register, topic, reason, detail, key, value, headers,
    kafka_timestamp_ms, parked_at, replays, forwarded_at FROM _lienthong_parked WHERE dismissed_at IS NULL"""

PARKED_EVENT = f"""{_PARKED} AND topic_id = ? AND "partition" = ? AND "offset" = ?"""

_PARKED_WHERE = {
    "register": "register = :register",
    "reason": "reason = :reason",
    "since": "parked_at >= :since",
    "until": "parked_at < :until",
    "waiting": "forwarded_at IS NULL",
    "after": """(topic_id, "partition", "offset") > (:topic_id, :partition, :offset)""",
}


def parked(given: Iterable[str]) -> str:
    """A page of parked events; ``given`` names the conditions that it is to meet."""
    where = "".join(f" AND {_PARKED_WHERE[name]}" for name in given)
    return f'{_PARKED}{where} ORDER BY topic_id, "partition", "offset" LIMIT :limit'


PARKED_COUNTS = """SELECT register, reason, count(*), count(*) FILTER (WHERE forwarded_at IS NULL)
    FROM _lienthong_parked WHERE dismissed_at IS NULL GROUP BY register, reason ORDER BY register, reason"""

PRUNE_GRAVES = """DELETE FROM _lienthong_graves WHERE stored_at < ?
    AND register NOT IN (SELECT register FROM _lienthong_parked WHERE dismissed_at IS NULL)"""

WAITING = "SELECT count(*) FROM _lienthong_parked WHERE forwarded_at IS NULL AND dismissed_at IS NULL"

_ORIGINS = """dismissed_at IS NULL AND (topic_id, "partition", "offset") IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?))"""
"""Parked events by a JSON array of their origins."""

COUNT_PARKED = f"SELECT count(*) FROM _lienthong_parked WHERE {_ORIGINS}"

SETTLE = f"DELETE FROM _lienthong_parked WHERE {_ORIGINS}"

STAND = """UPDATE _lienthong_parked SET reason = ?, detail = ?, replays = replays + 1
    WHERE topic_id = ? AND "partition" = ? AND "offset" = ?"""

DISMISS = f"""UPDATE _lienthong_parked SET dismissed_at = ?, detail = '', key = NULL, value = NULL, headers = '[]'
    WHERE {_ORIGINS} RETURNING register"""

FORWARDED = f"UPDATE _lienthong_parked SET forwarded_at = ? WHERE {_ORIGINS}"


def select(table: Table, where: str) -> str:
    return f"SELECT {names(stored_columns(table))} FROM {quote(table.name)} {where}"


def create_view(kind: str, body: str) -> Sequence[str]:
    return (f"DROP VIEW IF EXISTS {quote(kind)}", f"CREATE VIEW {quote(kind)} AS {body}")
