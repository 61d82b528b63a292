"""Where events go, and the one way to send them: rows in, one Kafka transaction, an account of it out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from bus import metrics
from bus.catalog import Register
from bus.crashpoints import crash_point
from bus.event import Op, next_version
from bus.names import AgencyCode
from producers.capture.row import packed
from producers.lane import microseconds
from producers.outbox.relay.encoding import Batch, RowEncoder
from producers.outbox.relay.row import Row
from producers.outbox.relay.sender import Sender
from producers.outbox.relay.source import Known
from producers.outbox.table import JSON, KEY_LENGTH, ROW

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Way:
    """Versions rise over the whole stream, so that they rise for each key."""

    register: Register
    agency: AgencyCode
    mapping: int
    encoder: RowEncoder
    sender: Sender
    known: Known
    """What the topic held already when this follower took over."""
    high: int
    _count: int = field(default=0)

    def row(self, event_id: UUID, op: str, key: str, columns: str, occurred_at: datetime) -> Row:
        """``columns`` as JSON."""
        self.high = next_version(self.high, microseconds(occurred_at))
        self._count += 1
        raw = key[:KEY_LENGTH].encode()
        payload = packed(self.mapping, columns)
        now = datetime.now(UTC)
        return Row(self._count, raw, str(event_id).encode(), op, ROW, payload, self.high, None, occurred_at, now)

    def withdrawal(self, key: str, at: datetime) -> Row:
        """A delete that no row of the table tells of; ``key`` as the register has it."""
        self.high = next_version(self.high, microseconds(at))
        self._count += 1
        return Row(self._count, key.encode(), str(uuid7()).encode(), Op.DELETE, JSON, None, self.high, None, at, at)

    def encode(self, rows: Sequence[Row]) -> Batch:
        """Records of what the topic does not hold yet, and what cannot go out."""
        return self.encoder.encode([row for row in rows if (row.event_id, False) not in self.known])

    def send(self, batch: Batch) -> dict[int, int]:
        """All in one Kafka transaction; positions. Raises Fenced, BrokerUnavailable."""
        positions = self.sender.send(batch.records) if batch.records else {}
        crash_point("capture.committed")
        for op, count in Counter(batch.ops).items():
            metrics.published.labels(self.register.name, self.agency, op).inc(count)
        return positions

    def parked(self, rows: Sequence[Row], batch: Batch) -> list[tuple[Row, str]]:
        """With their reasons, told."""
        by_number = {row.seq: row for row in rows}
        for _seq, event_id, reason in batch.parked:
            metrics.refused.labels(self.register.name, self.agency, "captured_row").inc()
            log.warning("captured_row_parked", register=self.register.name, id=event_id, reason=reason)
        return [(by_number[seq], reason) for seq, _event_id, reason in batch.parked]
