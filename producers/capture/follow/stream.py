"""PostgreSQL's streaming replication over libpq: messages in, positions out.

https://www.postgresql.org/docs/current/protocol-replication.html
"""

import select
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from psycopg import OperationalError, pq
from psycopg.conninfo import make_conninfo

from bus.errors import BusError, ConfigInvalid, DatabaseUnavailable

STATUS_SECONDS = 1.0
"""Well below wal_sender_timeout (60 s); and in the answer the server says how far it has read."""
BUSY = b"55006"
OPTIONS = "-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c bytea_output=hex"
ENDED = "PostgreSQL: the replication connection has ended; check that it runs"
SILENCE = {"tcp_user_timeout": 30_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
"""Half a minute, in ms and s: a server that is cut off says nothing, and is no reason to wait for ever."""
_POSTGRES_EPOCH_SECONDS = 946_684_800


class Piece(NamedTuple):
    """A message, or how far the server has read: everything committed below that has been given."""

    lsn: int
    message: bytes | None


class SlotBusy(DatabaseUnavailable):
    """Another connection still reads the slot."""


class Stream:
    """Blocking, for one thread. What has not been confirmed comes again on the next stream."""

    def __init__(self, url: str, slot: str, publication: str, start: int) -> None:
        """Raises SlotBusy; DatabaseUnavailable; ConfigInvalid where the slot is gone or has lost its log."""
        self._confirmed = start
        self._told = 0.0
        asked = make_conninfo(url, replication="database", options=OPTIONS, **SILENCE)
        self._connection = pq.PGconn.connect(asked.encode())
        if self._connection.status != pq.ConnStatus.OK:
            raise DatabaseUnavailable("PostgreSQL: no replication connection; check that it runs, and pg_hba.conf")
        asked = (
            f'START_REPLICATION SLOT "{slot}" LOGICAL {as_text(start)} '
            f"(proto_version '1', publication_names '{publication}')"
        )
        result = self._connection.exec_(asked.encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            self._connection.finish()
            raise _refused(slot, result)
        self._connection.nonblocking = 1

    def read(self, seconds: float) -> Iterator[Piece]:
        """All that has arrived, waiting so long for the first of it. Raises DatabaseUnavailable."""
        with _told_plainly():
            self._tell_now_and_then()
            first = True
            while True:
                size, data = self._connection.get_copy_data(1)
                if size > 0:
                    piece = self._piece(bytes(data))
                    if piece is not None:
                        first = False
                        yield piece
                elif size == 0:
                    if not first or not self._wait(seconds):
                        return
                    seconds = 0.0
                else:
                    raise DatabaseUnavailable(ENDED)

    def confirm(self, lsn: int) -> None:
        """The server may forget what was committed up to here. Raises DatabaseUnavailable."""
        self._confirmed = max(lsn, self._confirmed)
        with _told_plainly():
            self._tell(reply=False)

    def close(self) -> None:
        self._connection.finish()

    def _wait(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._connection.socket], [], [], seconds)
        if ready:
            self._connection.consume_input()
        return bool(ready)

    def _piece(self, data: bytes) -> Piece | None:
        if data[:1] == b"w":
            start, _end, _clock = struct.unpack_from(">QQq", data, 1)
            return Piece(start, data[25:])
        if data[:1] == b"k":
            end, _clock, reply = struct.unpack_from(">QqB", data, 1)
            if reply:
                self._tell(reply=False)
            return Piece(end, None)
        return None

    def _tell_now_and_then(self) -> None:
        if time.monotonic() - self._told >= STATUS_SECONDS:
            self._tell(reply=True)

    def _tell(self, *, reply: bool) -> None:
        now = int((time.time() - _POSTGRES_EPOCH_SECONDS) * 1_000_000)
        at = self._confirmed
        self._connection.put_copy_data(struct.pack(">cQQQqB", b"r", at, at, at, now, reply))
        self._connection.flush()
        self._told = time.monotonic()


@contextmanager
def _told_plainly() -> Iterator[None]:
    """The library's words for a connection that broke may hold anything."""
    try:
        yield
    except OperationalError as error:
        raise DatabaseUnavailable(ENDED) from error


def as_text(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def read_lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _refused(slot: str, result: "pq.abc.PGresult") -> BusError:
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    if state == BUSY:
        return SlotBusy(f"slot {slot}: another connection reads it")
    if state in (b"42704", b"55000"):
        return ConfigInvalid(f"slot {slot}: is gone or has lost its log; run: lienthong capture install")
    return DatabaseUnavailable(f"slot {slot}: cannot be read now (SQLSTATE {(state or b'none').decode()})")
