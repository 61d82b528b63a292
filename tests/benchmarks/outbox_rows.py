"""An outbox full of the benchmark's residents, as agencies' transactions would have left it."""

from datetime import datetime

import psycopg

from producers.outbox.rows import source
from producers.release import Release
from tests.benchmarks.events import IDENTITY, POLICE, event_frames, residents, version_now

COLUMNS = "id, aggregatetype, aggregateid, type, payload, format, version, source, created_at"


def fill(database: str, release: Release, events: int) -> None:
    """One committed row with final bytes for each of so many residents."""
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY lienthong_outbox ({COLUMNS}) FROM STDIN") as copy:
            for frame in event_frames(residents(events), version_now() - events):
                values = release.bulk.encode(frame)
                given = frame.select("event_id", "key", "version", "recorded_at").iter_rows()
                for (event_id, key, version, recorded_at), value in zip(given, values, strict=True):
                    copy.write_row(_row(event_id, key, value, version, recorded_at))
        connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE lienthong_outbox")
        cursor.execute("CHECKPOINT")


def _row(event_id: str, key: str, value: bytes, version: int, recorded_at: datetime) -> tuple[object, ...]:
    return event_id, IDENTITY, key, "UPSERT", value, "bytes", version, source(POLICE), recorded_at
