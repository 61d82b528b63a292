"""The fault suite's bounded form: three brokers, every process and server dies, and nothing is lost, doubled or late."""

import time

import pytest

from tests.fault.suite.campaign import campaign
from tests.fault.suite.faults import MANY
from tests.fault.suite.world import world

FAULTS = 300
SIGKILLS = 20


@pytest.mark.timeout(420)
def test_three_hundred_faults_lose_double_and_misorder_nothing(tmp_path):
    with world(tmp_path) as there, campaign(there, rate=60, seed=1, witness=False, say=lambda _: None) as made:
        made.saboteur.kill_controller()
        made.storm(lambda: made.faults >= FAULTS // 3, MANY)
        made.saboteur.kill_database()
        time.sleep(0.5)
        made.saboteur.mend()
        made.saboteur.await_in_sync()
        made.saboteur.broker_errors()
        made.storm(lambda: made.faults >= FAULTS and made.ledger.sigkills >= SIGKILLS, MANY)
        outcome = made.finish()
    assert outcome.verdict.clean, outcome.figures()
    assert outcome.ledger.surprises == []
    assert outcome.verdict.events > FAULTS
