import threading
from itertools import islice

import pytest
from structlog.testing import capture_logs

from bus.errors import BrokerUnavailable, DatabaseUnavailable
from producers.outage import FIRST_SECONDS, LONGEST_SECONDS, Outage, pauses


@pytest.mark.parametrize(("chance", "expected"), [(1.0, [0.5, 1.0, 2.0, 3.0, 3.0]), (0.0, [0.25, 0.5, 1.0, 1.5, 1.5])])
def test_pauses_double_up_to_the_longest_and_half_of_each_is_chance(chance, expected):
    assert list(islice(pauses(lambda: chance), 5)) == expected


def test_outage_is_told_once_when_it_begins_when_it_changes_and_when_it_ends():
    stop = threading.Event()
    stop.set()
    outage = Outage("capture", {"register": "resident.identity"}, stop)
    with capture_logs() as told:
        outage.over()
        for error in (DatabaseUnavailable("x"), DatabaseUnavailable("x"), BrokerUnavailable("y")):
            outage.wait(error)
        outage.over()
        outage.over()
        outage.wait(DatabaseUnavailable("x"))
    assert [(each["event"], each["reason"]) for each in told] == [
        ("capture_interrupted", "database_unavailable"),
        ("capture_interrupted", "broker_unavailable"),
        ("capture_resumed", "broker_unavailable"),
        ("capture_interrupted", "database_unavailable"),
    ]


def test_what_keeps_failing_is_tried_ever_more_seldom_though_it_works_for_a_moment_in_between():
    waited = Noted()
    outage = Outage("capture", {}, waited)
    for _ in range(5):
        outage.wait(DatabaseUnavailable("x"))
        outage.over()
    assert FIRST_SECONDS / 2 <= waited.seconds[0] <= FIRST_SECONDS
    assert LONGEST_SECONDS / 2 <= waited.seconds[-1] <= LONGEST_SECONDS


class Noted(threading.Event):
    """Does not wait, and knows how long it should have."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        return False
