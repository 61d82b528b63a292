"""Puts the outbox's tables into an agency's database, shows beforehand what that would do, and takes them out again."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from bus.errors import ConfigInvalid, ConfirmationNeeded
from producers.outbox import triggers
from producers.outbox.database import told_plainly
from producers.outbox.table import CAPTURE, OUTBOX, Tables, tables


def creation(dialect: Dialect, present: Sequence[str] = ()) -> list[str]:
    """The statements that make what is not ``present``: tables, their index, functions and triggers. Pure."""
    statements = []
    for table in tables(dialect.name).all:
        if table.name in present:
            continue
        statements += [_text(CreateTable(table), dialect)]
        statements += [_text(CreateIndex(index), dialect) for index in table.indexes]
        if table.name == OUTBOX:
            statements += triggers.CREATE.get(dialect.name, ())
    return statements


def removal(dialect: Dialect, present: Sequence[str]) -> list[str]:
    """The statements that take away what is ``present``. Pure."""
    found = [table for table in reversed(tables(dialect.name).all) if table.name in present]
    dropped = [_text(DropTable(table), dialect) for table in found]
    return [*dropped, *(triggers.DROP.get(dialect.name, ()) if dropped else ())]


def plan(engine: Engine) -> list[str]:
    """What ``install`` would run now; empty where everything is there."""
    with told_plainly(engine), engine.connect() as connection:
        return creation(engine.dialect, _present(connection))


def install(engine: Engine) -> list[str]:
    """Make what is missing, in one transaction where the database can; give what was run. Again: nothing.

    Raises DatabaseUnavailable, and ConfigInvalid where the user may not create tables.
    """
    with told_plainly(engine), engine.begin() as connection:
        return _run(connection, creation(engine.dialect, _present(connection)))


def uninstall(engine: Engine, *, confirmed: bool = False, dry_run: bool = False) -> list[str]:
    """Take tables, functions and triggers away; give what was, or with ``dry_run`` would be, run.

    Raises ConfirmationNeeded while rows wait to be sent, unless ``confirmed``.
    """
    with told_plainly(engine), engine.begin() as connection:
        present = _present(connection)
        if CAPTURE in inspect(connection).get_table_names():
            raise ConfigInvalid(f"{CAPTURE}: triggers still feed the outbox; run: lienthong capture uninstall")
        waiting = _waiting(connection) if OUTBOX in present else 0
        if waiting and not confirmed and not dry_run:
            raise ConfirmationNeeded(
                f"{OUTBOX}: {waiting:,} rows have not been sent, parked ones among them; run the relay until they are, "
                "or lose them with --yes"
            )
        statements = removal(engine.dialect, present)
        return statements if dry_run else _run(connection, statements)


def _run(connection: Connection, statements: Sequence[str]) -> list[str]:
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    return list(statements)


def _present(connection: Connection) -> list[str]:
    names = set(inspect(connection).get_table_names())
    return [table.name for table in _tables(connection).all if table.name in names]


def _waiting(connection: Connection) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {OUTBOX} WHERE sent_at IS NULL")).scalar_one())


def _tables(connection: Connection) -> Tables:
    return tables(connection.dialect.name)


def _text(element: CreateTable | CreateIndex | DropTable, dialect: Dialect) -> str:
    lines: Iterator[str] = (line.rstrip() for line in str(element.compile(dialect=dialect)).strip().splitlines())
    return "\n".join(line for line in lines if line)
