from pathlib import Path

import pytest

from bus.local.java import log_to, property_value
from bus.local.kafka import broker_properties, troubles
from bus.local.layout import new_layout


def settings(brokers: int) -> dict[str, str]:
    layout = new_layout(brokers)
    return broker_properties(layout, layout.brokers[0], Path("/data"))


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, "1", "1"), (2, "2", "1"), (3, "3", "2"), (5, "3", "2")])
def test_topics_have_as_many_copies_as_the_cluster_can_hold(brokers, copies, in_sync):
    found = settings(brokers)
    assert found["default.replication.factor"] == copies
    assert found["offsets.topic.replication.factor"] == copies
    assert found["transaction.state.log.replication.factor"] == copies
    assert found["min.insync.replicas"] == found["transaction.state.log.min.isr"] == in_sync


def test_nothing_listens_beyond_loopback():
    found = settings(3)
    hosts = {part.split("://")[1].split(":")[0] for part in found["listeners"].split(",")}
    assert hosts == {"127.0.0.1"}


def test_every_node_votes():
    assert [voter.split("@")[0] for voter in settings(3)["controller.quorum.voters"].split(",")] == ["1", "2", "3"]


def test_transactions_end_within_the_designs_limit():
    assert settings(1)["transaction.max.timeout.ms"] == "30000"


def test_property_files_are_ascii_whatever_the_folder_is_called(tmp_path):
    assert property_value("/srv/liên thông\\x") == "/srv/li\\u00ean th\\u00f4ng\\\\x"
    log_to(Path("/srv/liên thông/broker.log"), tmp_path)
    assert (tmp_path / "log4j2.properties").read_text().isascii()


def test_troubles_are_errors_and_causes_without_stack_traces():
    log = "1 INFO fine\n2 ERROR no (X)\nCaused by: a.B$Exception: gone\n\tat a.B(Exception: c)\n3 INFO bye"
    assert troubles(log) == "2 ERROR no (X)\nCaused by: a.B$Exception: gone"
