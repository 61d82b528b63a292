"""What a lane's batch moves, and as of when nothing is missed."""

from datetime import UTC, datetime, timedelta

from consumers.lane.standing import Standing, reached
from consumers.stores.model import Advance, Partition, Position

FIRST, SECOND = Partition("t", 0), Partition("t", 1)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=1)
ENDS = {FIRST: 10, SECOND: 10}


def standing(first: int, second: int, caught_up_at: datetime | None = None) -> Standing:
    return Standing(BEGAN, {FIRST: Position("id", first, 3, caught_up_at), SECOND: Position("id", second, 4, None)})


def at_end(at: Partition, offset: int) -> bool:
    return offset >= ENDS[at]


def test_only_partitions_that_moved_or_are_at_their_end_advance():
    stands = standing(5, 2)
    assert stands.advances({FIRST: 10, SECOND: 2}, stands.offsets(), at_end, NOW) == [Advance(FIRST, 3, 5, 10, NOW)]
    stands = standing(10, 2)
    assert stands.advances({FIRST: 10, SECOND: 2}, stands.offsets(), at_end, NOW) == [Advance(FIRST, 3, 10, 10, NOW)]


def test_fill_amid_its_first_reading_has_missed_nothing_since_it_began():
    stands = standing(0, 10, caught_up_at=None)
    [move, _] = stands.advances({FIRST: 4, SECOND: 10}, stands.offsets(), at_end, NOW)
    assert move.caught_up_at == BEGAN


def test_what_was_once_caught_up_keeps_its_time_until_it_is_again():
    stands = standing(0, 2, caught_up_at=BEGAN)
    moves = stands.advances({FIRST: 4, SECOND: 2}, stands.offsets(), at_end, NOW)
    stands.committed(moves)
    assert stands.positions[FIRST] == Position("id", 4, 3, BEGAN)
    stands.committed(stands.advances({FIRST: 10, SECOND: 2}, stands.offsets(), at_end, NOW))
    assert stands.positions[FIRST] == Position("id", 10, 3, NOW)
    assert stands.done() == 12


def test_offsets_are_reached_once_everything_before_them_is_behind_the_position():
    stands = standing(5, 2)
    assert stands.reached({FIRST: 5, SECOND: 2})
    assert not stands.reached({FIRST: 6})
    assert not reached({}, {FIRST: 0})
