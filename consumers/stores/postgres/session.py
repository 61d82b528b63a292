"""One connection: made when first needed, let go when it fails, and what its errors mean."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from bus.errors import BusError, ConfigInvalid, DatabaseUnavailable, RowsRefused

CONNECT: Mapping[str, str | int] = {
    "connect_timeout": 10,
    "application_name": "lienthong",
    "client_encoding": "UTF8",
    "keepalives_idle": 30,  # a server that vanished without a word is noticed within a minute
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""What the URL does not say itself."""

SETTINGS = """
    SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET client_min_messages = 'warning';
    SET lock_timeout = '10s'; SET temp_buffers = '32MB'; SET jit = off
"""
"""A batch of 20,000 rows fits the temporary buffers; a lock that takes longer is told, and tried for again."""

WRITING = """
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 60000
"""
"""The other way round: a writer that vanished inside a transaction gives up its locks within a minute."""

END_SILENT = """
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND application_name = current_setting('application_name') AND xact_start IS NOT NULL
    AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - interval '5 s'
"""
"""Daemons that were frozen or cut off inside a transaction: their locks would hold up a successor for as long as they
are. Between two statements of ours pass milliseconds. The server's own time-out for this does not count the time after
a pipeline, nor inside a COPY (PostgreSQL 18.6). Whoever is ended so has written nothing, and begins again."""

LOGIN_REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")


class Session:
    """Transactions are begun by statements of ours, so that BEGIN and COMMIT can travel with others."""

    def __init__(self, url: str, *, read_only: bool) -> None:
        """Raises ConfigInvalid for what is no PostgreSQL URL, without repeating it: it may hold a password."""
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise ConfigInvalid("database: not a PostgreSQL URL; write postgresql://user@host/database") from None
        self._conninfo = make_conninfo(url, **{name: value for name, value in CONNECT.items() if name not in given})
        self._read_only = read_only
        self._held: psycopg.Connection | None = None
        self.name = f"PostgreSQL {given.get('host', 'localhost')}/{given.get('dbname', '')}"

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        """The connection, idle again afterwards. Errors come out as the project's; a lost connection is let go."""
        try:
            with self._told():
                yield self._connection()
        except DatabaseUnavailable:
            self.close()
            raise
        finally:
            self._roll_back()

    def _connection(self) -> psycopg.Connection:
        if self._held is None or self._held.closed:
            self._held = self._connect()
        return self._held

    def _connect(self) -> psycopg.Connection:
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            words = " ".join(str(error).split())
            if any(word in words for word in LOGIN_REFUSED):
                raise ConfigInvalid(f"{self.name}: {words}; correct the database's URL") from None
            raise DatabaseUnavailable(f"{self.name}: {words}") from error
        try:
            connection.execute(SETTINGS)
            connection.execute("SET default_transaction_read_only = on" if self._read_only else WRITING)
        except BaseException:
            connection.close()
            raise
        return connection

    def _roll_back(self) -> None:
        """End whatever transaction an error, or somebody's early leave, has left open."""
        held = self._held
        if held is None or held.closed or held.info.transaction_status is TransactionStatus.IDLE:
            return
        with suppress(psycopg.Error):
            held.execute("ROLLBACK")
            return
        self.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if isinstance(error, errors.LockNotAvailable):
                raise self._held_up(error) from error
            raise self._translated(error) from (None if _quotes_values(error) else error)

    def _held_up(self, error: psycopg.Error) -> DatabaseUnavailable:
        """Somebody holds a lock for long; where it is a daemon that was silent meanwhile, the next try gets through."""
        ended = 0
        with suppress(psycopg.Error), psycopg.connect(self._conninfo, autocommit=True) as connection:
            [ended] = connection.execute(END_SILENT).fetchone() or [0]
        told = f"; {ended} frozen or cut off inside a transaction, ended" if ended else ""
        return DatabaseUnavailable(f"{self.name}: {' '.join(str(error).split())}{told}")

    def _translated(self, error: psycopg.Error) -> BusError:
        """Texts of data errors quote values, so only their kind is told."""
        if _quotes_values(error):
            kind, column = type(error).__name__, error.diag.column_name
            where = f" in {column}" if column else ""
            return RowsRefused(f"{self.name} cannot hold a row of this batch ({kind} {error.sqlstate}{where})")
        words = " ".join(str(error).split())
        if isinstance(error, errors.InsufficientPrivilege):
            return ConfigInvalid(f"{self.name}: {words}; grant the replica's role what it needs, or use another role")
        if isinstance(error, errors.DependentObjectsStillExist):
            return ConfigInvalid(f"{self.name}: {words}; build views of your own on the subjects' views, which stay")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError):
            return DatabaseUnavailable(f"{self.name}: {words}")
        return ConfigInvalid(f"{self.name}: not as a replica leaves it ({words}); restart the replica, or name another")


def _quotes_values(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.DataError | psycopg.IntegrityError | errors.ProgramLimitExceeded)
