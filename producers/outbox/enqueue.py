"""Events into the outbox, inside the agency's own transaction: they are sent if, and only if, it commits."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from bus import metrics
from bus.catalog import Register, load_catalog
from bus.codes import open_codes
from bus.errors import StateInvalid
from bus.event import Op
from bus.names import RegisterName
from bus.registry import open_registry
from bus.schema.avsc import load_register
from bus.schema.fields import RegisterSchema
from bus.schema.rules import Refusal
from producers.admission import State, key_refusals, plain, refuse, state_refusals
from producers.lane import Clock, microseconds
from producers.outbox.connection import Handle, handle
from producers.outbox.rows import Draft, Writer, kind
from producers.outbox.settings import OutboxSettings
from producers.outbox.statements import statements
from producers.publisher import utc_now
from producers.release import Release, newest_release


@dataclass(frozen=True, slots=True)
class Queued:
    """What will be sent once the transaction has committed."""

    event_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class _Opened:
    register: Register
    schema: RegisterSchema
    writer: Writer


class Outbox:
    """Writes one agency's events into ``lienthong_outbox``. May be shared by threads, and lives as long as its process.

    ``connection`` is a SQLAlchemy Connection or Session, Django's ``connection`` within an atomic block, or a DB-API
    connection within a transaction; it is neither committed nor rolled back here. An event takes the row lock of its
    key until that transaction ends, so that events of one key come in commit order. Database errors are raised as the
    driver raises them: a serialization failure or deadlock is for the agency to run its transaction again.

    Raises RegisterUnknown, NotTheWriter, StateInvalid before anything is written; ConfigInvalid without a transaction;
    ClusterMismatch and RegistryUnavailable when a register is opened whose schema id is not known yet.
    """

    def __init__(self, settings: OutboxSettings, now: Clock = utc_now) -> None:
        self._settings = settings
        self._now = now
        self._catalog = load_catalog(settings.catalog, prefix=settings.prefix)
        self._agency = self._catalog.agency(settings.agency)
        self._opened: dict[RegisterName, _Opened] = {}
        self._opening = Lock()
        for register in settings.registers:
            self._open(register)

    def enqueue(
        self,
        connection: Any,
        register: str,
        state: State,
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Queued:
        """Put one subject's full state into the outbox. ``traceparent`` is W3C's, of the source's work."""
        return self.enqueue_many(connection, register, [state], occurred_at=occurred_at, traceparent=traceparent)[0]

    def enqueue_many(
        self,
        connection: Any,
        register: str,
        states: Iterable[State],
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> list[Queued]:
        """Put many in, in order. One that is refused keeps all of them out. Keys are locked in their own order."""
        opened = self._open(register)
        given = [plain(state) for state in states]
        for number, state in enumerate(given):
            found = state_refusals(opened.register, opened.schema, self._agency, state)
            self._refuse(opened.register, found, f"[{number}]" if len(given) > 1 else "")
        key = opened.register.key_field
        drafts = [self._draft(Op.UPSERT, state[key], occurred_at, traceparent, state=state) for state in given]
        return self._put(connection, opened, drafts)

    def enqueue_delete(
        self,
        connection: Any,
        register: str,
        key: str,
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Queued:
        """Put a delete in; its tombstone goes with it."""
        opened = self._open(register)
        self._check_keys(opened, key)
        return self._put(connection, opened, [self._draft(Op.DELETE, key, occurred_at, traceparent)])[0]

    def enqueue_merge(
        self,
        connection: Any,
        register: str,
        key: str,
        replaced_by: str,
        *,
        occurred_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Queued:
        """Say that ``key`` was another name of ``replaced_by``, which lives on."""
        opened = self._open(register)
        self._check_keys(opened, key, replaced_by)
        if key == replaced_by:
            same = Refusal("replaced_by", "differs", "another key than the one that is merged into it")
            self._refuse(opened.register, [same])
        draft = self._draft(Op.MERGE, key, occurred_at, traceparent, replaced_by=replaced_by)
        return self._put(connection, opened, [draft])[0]

    def _draft(self, op: Op, key: str, occurred_at: datetime | None, traceparent: str | None, **more: Any) -> Draft:
        now = self._now()
        if occurred_at is not None and occurred_at.utcoffset() is None:
            raise StateInvalid("occurred_at: type: expected a point in time with its time zone")
        return Draft(uuid7(), op, key, occurred_at or now, now, traceparent=traceparent, **more)

    def _put(self, connection: Any, opened: _Opened, drafts: Sequence[Draft]) -> list[Queued]:
        there = handle(connection)
        versions = self._versions(there, opened, drafts)
        rows = [
            row
            for draft, version in zip(drafts, versions, strict=True)
            for row in opened.writer.rows(draft, version, there.dialect)
        ]
        insert = statements(there.dialect).insert
        if len(rows) == 1:
            there.one(insert, rows[0])
        else:
            there.many(insert, rows)
        return [Queued(draft.event_id, version) for draft, version in zip(drafts, versions, strict=True)]

    def _versions(self, there: Handle, opened: _Opened, drafts: Sequence[Draft]) -> list[int]:
        """Each draft's version. Locks are taken in the keys' order: two writers of the same keys never deadlock."""
        aggregate = kind(opened.register, self._agency)
        ordered = sorted(drafts, key=lambda draft: draft.key)
        keys, nows = [draft.key for draft in ordered], [microseconds(draft.recorded_at) for draft in ordered]
        together = statements(there.dialect).next_versions
        if together is not None and 1 < len(drafts) == len(set(keys)):
            rows = there.all(together, {"kind": aggregate, "keys": keys, "nows": nows})
            found = {key: int(version) for key, version in rows}
            return [found[draft.key] for draft in drafts]
        versions: dict[UUID, int] = {}
        for draft, now in zip(ordered, nows, strict=True):
            for statement in statements(there.dialect).next_version:
                version = there.one(statement, {"kind": aggregate, "key": draft.key, "now": now})
            versions[draft.event_id] = int(version)
        return [versions[draft.event_id] for draft in drafts]

    def _check_keys(self, opened: _Opened, *keys: str) -> None:
        for key in keys:
            self._refuse(opened.register, key_refusals(opened.register, opened.schema, self._agency, key))

    def _refuse(self, register: Register, found: Sequence[Refusal], at: str = "") -> None:
        for each in found:
            metrics.refused.labels(register.name, self._agency, each.rule).inc()
        refuse(register, found, at)

    def _open(self, name: str) -> _Opened:
        register = self._catalog.register(name)
        with self._opening:
            if register.name not in self._opened:
                register.topic(self._agency)
                release, schema = self._terms(register)
                self._opened[register.name] = _Opened(register, schema, Writer(register, self._agency, release))
            return self._opened[register.name]

    def _terms(self, register: Register) -> tuple[Release | None, RegisterSchema]:
        """What rows are written with, if in final bytes, and judged by. JSON by the shipped codes needs nobody."""
        settings = self._settings
        if settings.form == "json" and settings.codes is None and settings.codes_on is None:
            return None, load_register(register.name, settings.schemas)[-1]
        with ThreadPoolExecutor(1, "lienthong outbox") as thread:  # of its own: the caller may have an event loop
            return thread.submit(lambda: asyncio.run(self._find(register))).result()

    async def _find(self, register: Register) -> tuple[Release | None, RegisterSchema]:
        settings = self._settings
        async with open_registry(settings.registry, settings.kafka) as registry:
            codes = (await open_codes(settings, self._catalog, registry, self._now())).rules
            if settings.form == "json":
                return None, load_register(register.name, settings.schemas, codes)[-1]
            release = await newest_release(register, registry, settings.schemas, codes)
            return release, release.schema
