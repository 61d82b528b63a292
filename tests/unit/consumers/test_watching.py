"""How old a replica is, whatever its machine's clock says; and who holds its partitions up."""

from datetime import UTC, datetime, timedelta

import pytest

from bus.names import TopicName
from bus.topics.ends import End
from consumers.open_transactions import OPEN_SECONDS, OpenTransactions
from consumers.stores.model import Partition, Position
from consumers.watching import LogTime

NOW = datetime(2026, 7, 6, tzinfo=UTC)
KEPT = timedelta(days=30)
AT = Partition(TopicName("city.resident.identity"), 0)
DAY = timedelta(days=1)


def too_old(told: datetime | None, clock: datetime = NOW, newest: datetime | None = NOW, *, missed: int = 1) -> bool:
    position = Position("id", 10, 1, told)
    return LogTime(KEPT, newest).too_old({AT: position}, {AT: End(10 + missed, newest)}, clock)


def test_older_than_deletes_are_kept_less_a_tenth_is_too_old():
    assert not too_old(NOW - 26 * DAY)
    assert too_old(NOW - 28 * DAY)


def test_position_at_the_end_is_never_too_old():
    assert not too_old(NOW - 300 * DAY, missed=0)


def test_position_that_was_never_told_is_not_too_old():
    assert not too_old(None)


def test_clock_that_is_behind_the_log_makes_nothing_younger():
    assert too_old(NOW - 28 * DAY, clock=NOW - 300 * DAY)


def test_clock_that_is_ahead_tells_no_more_than_records_bear_out():
    told = LogTime(KEPT, NOW).told(NOW + 300 * DAY)
    assert NOW < told <= NOW + KEPT / 20
    assert too_old(told, clock=NOW + KEPT, newest=NOW + KEPT)


def test_clock_that_is_behind_is_told_as_it_is():
    assert LogTime(KEPT, NOW).told(NOW - DAY) == NOW - DAY


def test_topic_without_records_goes_by_the_clock():
    assert LogTime(KEPT, None).told(NOW) == NOW


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def transactions(clock):
    return OpenTransactions(clock=lambda: clock[0])


def test_partition_that_stands_still_behind_a_transaction_is_named(transactions, clock):
    transactions.seen([(AT, 12, 10)])
    assert transactions.told() == ""
    clock[0] += OPEN_SECONDS
    transactions.seen([(AT, 15, 10)])
    assert "city.resident.identity partition 0 at offset 10" in transactions.told()


def test_partition_whose_transactions_end_is_not_named(transactions, clock):
    for stable in range(10, 20):
        transactions.seen([(AT, stable + 2, stable)])
        clock[0] += OPEN_SECONDS - 0.1
        assert transactions.told() == ""
    transactions.seen([(AT, 22, 19)])
    clock[0] += OPEN_SECONDS
    transactions.seen([(AT, 22, 22)])
    assert transactions.told() == ""
