"""What a register wants next, for every state that its tables may be found in."""

from dataclasses import replace
from itertools import product

import pytest

from consumers.following.turns import (
    ABSENT,
    ASKED,
    GROWN,
    MOVED,
    OUTLASTED,
    TOO_OLD,
    Facts,
    Turn,
    next_turn,
    why_fill,
)
from consumers.stores.model import Phase, RegisterStatus

STATUS = RegisterStatus("resident.identity", Phase.READY, filling=False, fingerprint="one", generation=1)
FACTS = Facts(moved=False, live_too_old=False, shadow_too_old=False, fingerprint="one")
FILLING = replace(STATUS, filling=True)
NOTHING = replace(STATUS, phase=Phase.ABSENT, fingerprint=None)
ALL_WRONG = Facts(moved=True, live_too_old=True, shadow_too_old=False, fingerprint="two")


@pytest.mark.parametrize(
    ("status", "facts", "why"),
    [
        (STATUS, FACTS, ""),
        (STATUS, replace(FACTS, fingerprint="two"), GROWN),
        (STATUS, replace(FACTS, live_too_old=True, fingerprint="two"), TOO_OLD),
        (STATUS, ALL_WRONG, MOVED),
        (NOTHING, ALL_WRONG, ABSENT),
        (FILLING, ALL_WRONG, ""),
        (FILLING, replace(FACTS, shadow_too_old=True), OUTLASTED),
        (replace(FILLING, rebuild_asked=True), replace(FACTS, shadow_too_old=True), ASKED),
        (replace(NOTHING, rebuild_asked=True), FACTS, ASKED),
    ],
)
def test_first_reason_to_fill_is_told(status, facts, why):
    assert why_fill(status, facts) == why


@pytest.mark.parametrize(
    ("status", "why", "leads", "beside", "turn"),
    [
        (STATUS, "", True, False, Turn.FOLLOW),
        (STATUS, "", False, False, Turn.FOLLOW),
        (STATUS, TOO_OLD, True, False, Turn.BEGIN),
        (STATUS, TOO_OLD, False, False, Turn.WAIT),
        (STATUS, GROWN, False, False, Turn.BEGIN),
        (NOTHING, ABSENT, True, False, Turn.BEGIN),
        (NOTHING, ABSENT, False, False, Turn.WAIT),
        (replace(NOTHING, filling=True), "", True, False, Turn.BOOTSTRAP),
        (replace(NOTHING, filling=True), "", False, False, Turn.WAIT),
        (FILLING, "", True, True, Turn.REBUILD),
        (FILLING, "", True, False, Turn.BOOTSTRAP),
        (FILLING, "", False, True, Turn.FOLLOW),
        (FILLING, "", False, False, Turn.WAIT),
        (FILLING, OUTLASTED, True, True, Turn.BEGIN),
        (FILLING, OUTLASTED, False, True, Turn.WAIT),
    ],
)
def test_turn_follows_from_what_is_there(status, why, leads, beside, turn):
    assert next_turn(status, why, leads=leads, beside=beside) is turn


def test_a_fill_goes_on_by_its_leader_alone():
    for phase, why, beside in product(Phase, ["", GROWN, OUTLASTED], [False, True]):
        turn = next_turn(replace(FILLING, phase=phase), why, leads=False, beside=beside)
        assert turn not in {Turn.BOOTSTRAP, Turn.REBUILD}
