"""The sources of truth: an agency's tables, changed at a steady rate, events into the outbox in the same transaction."""

import random
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from producers.outbox import Outbox, OutboxSettings
from producers.partition import partition_of
from tests.exports import export
from tests.producing import IDENTITY, POLICE, person, registry_settings

if TYPE_CHECKING:
    from tests.fault.suite.world import World

TABLES = """
CREATE TABLE person (personal_id text PRIMARY KEY, full_name text NOT NULL);
CREATE SEQUENCE changes;
CREATE TABLE residence (
  personal_id text PRIMARY KEY,
  household_no text,  -- null: gone
  change bigint NOT NULL DEFAULT nextval('changes'),
  published bigint
);
CREATE TABLE acknowledged (event_id uuid PRIMARY KEY)
"""
PUT_PEOPLE = """
INSERT INTO person SELECT * FROM unnest(%s::text[], %s::text[]) ON CONFLICT (personal_id) DO UPDATE SET full_name = excluded.full_name
"""
DROP_PERSON = "DELETE FROM person WHERE personal_id = %s"
PUT_RESIDENCES = """
INSERT INTO residence (personal_id, household_no) SELECT * FROM unnest(%s::text[], %s::text[])
ON CONFLICT (personal_id) DO UPDATE SET household_no = excluded.household_no, change = nextval('changes')
"""
PEOPLE = 2_000
ROWS = 10  # of one transaction, at most, unless the rate needs more
TRANSACTIONS_A_SECOND = 20
GONE_SHARE = 0.05
LATE_SECONDS = 10.0  # what a busy machine kept from us is made up for, what a longer outage did is not
CONNECT = {"connect_timeout": 2, "autocommit": False}


def key_of(number: int) -> str:
    return str(person(number)["personal_id"])


class Source:
    """Changes people and their residences until stopped, so many events a second in all; the database is the truth."""

    def __init__(self, world: "World", rate: float, seed: int) -> None:
        self._world, self._rate = world, rate
        self._chance = random.Random(seed)  # noqa: S311 - the same changes in every run
        self._names = 0
        self._stop = threading.Event()
        self._resting = threading.Event()
        self._outbox = Outbox(
            OutboxSettings(
                agency=POLICE,
                kafka=world.settings,
                registry=registry_settings("city"),
                prefix="city",
                catalog=world.catalog_file,
                registers=(IDENTITY,),
            )
        )
        self._thread = threading.Thread(target=self._work, name="source", daemon=True)
        self.failure: BaseException | None = None
        self.changes = 0
        """Rows of transactions that committed."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Change nothing more; what was committed stands."""
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def probe(self) -> dict[str, int]:
        """Change one person on every partition, at once; their versions by key. Raises psycopg.OperationalError."""
        with psycopg.connect(self._world.truth, **CONNECT) as connection:
            self._names += 1
            keys = [key_of(number) for number in PROBES]
            people = [person(number, full_name=f"Nguyễn Văn {self._names}") for number in PROBES]
            connection.execute(PUT_PEOPLE, [keys, [each["full_name"] for each in people]])
            queued = self._outbox.enqueue_many(connection, IDENTITY, people)
            return dict(zip(keys, (each.version for each in queued), strict=True))

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                with suppress(psycopg.OperationalError), psycopg.connect(self._world.truth, **CONNECT) as connection:
                    self._change_on(connection)
                self._stop.wait(0.1)
        except BaseException as error:  # noqa: BLE001 - told when the source is stopped
            self.failure = error

    def _change_on(self, connection: psycopg.Connection) -> None:
        due = time.monotonic()
        most = max(ROWS, int(self._rate / TRANSACTIONS_A_SECOND))
        while not self._stop.is_set():
            rows = self._chance.randint(1, most)
            self._change(connection, rows)
            connection.commit()
            self.changes += rows
            due = max(due + rows / self._rate, time.monotonic() - LATE_SECONDS)
            self._stop.wait(max(due - time.monotonic(), 0))

    def _change(self, connection: psycopg.Connection, rows: int) -> None:
        """The outbox takes three of four, since that is the way most systems go."""
        self._names += 1
        chosen = sorted(self._chance.sample(range(PEOPLE), rows))
        homes = {number for number in chosen if self._chance.random() < 0.25}
        gone = {number for number in chosen if self._chance.random() < GONE_SHARE}
        name, household = f"Nguyễn Văn {self._names}", f"HK-{self._names}"
        people = [person(number, full_name=name) for number in chosen if number not in homes | gone]
        connection.execute(PUT_PEOPLE, [[each["personal_id"] for each in people], [name] * len(people)])
        moved = [(key_of(number), None if number in gone else household) for number in sorted(homes)]
        connection.execute(PUT_RESIDENCES, [[key for key, _ in moved], [home for _, home in moved]])
        self._outbox.enqueue_many(connection, IDENTITY, people)
        for number in sorted(gone - homes):
            if connection.execute(DROP_PERSON, [key_of(number)]).rowcount:
                self._outbox.enqueue_delete(connection, IDENTITY, key_of(number))


class Exports:
    """Exports of an office that has nothing else: each differs from the one before in some rows."""

    def __init__(self, directory: Path, seed: int, people: int = 300) -> None:
        self._directory = directory
        self._chance = random.Random(seed)  # noqa: S311
        self._rows: dict[str, dict[str, Any]] = {}
        self._people = people
        self.made = 0
        self.due: dict[str, list[str | None]] = {}
        """Per key its states one after the other, None where it was gone: what the topic has to show, no more."""

    @property
    def last(self) -> dict[str, str]:
        return {key: row["registration_number"] for key, row in self._rows.items()}

    def next(self) -> Path:
        """The next export; the one before has been published wholly."""
        self.made += 1
        for number in self._chance.sample(range(self._people), self._people // 10 if self._rows else self._people):
            key = key_of(number)
            gone = bool(self._rows) and self._chance.random() < GONE_SHARE
            if gone and key in self._rows:
                del self._rows[key]
                self.due[key].append(None)
            elif not gone:
                self._rows[key] = {"personal_id": key, "marital_status": None, "registration_number": f"{self.made}"}
                self.due.setdefault(key, []).append(f"{self.made}")
        columns = ("spouse_id", "father_id", "mother_id", "death_date", "registration_place")
        rows = [row | dict.fromkeys(columns) for _, row in sorted(self._rows.items())]
        return export(self._directory, rows, f"export-{self.made}.csv")


def _one_per_partition(partitions: int) -> tuple[int, ...]:
    """Numbers of people whom nobody else changes, one on each partition."""
    found: dict[int, int] = {}
    number = PEOPLE
    while len(found) < partitions:
        found.setdefault(partition_of(key_of(number), partitions), number)
        number += 1
    return tuple(found.values())


PROBES = _one_per_partition(3)
