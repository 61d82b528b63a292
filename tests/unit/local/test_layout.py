import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import ConfigInvalid
from bus.local.layout import Wish, new_layout, read_layout, settle, write_layout


@given(brokers=st.integers(1, 9))
def test_no_two_listeners_share_a_port(brokers):
    layout = settle(None, Wish(brokers=brokers, postgres=True))
    ports = [port for node in layout.brokers for port in (node.port, node.controller_port)]
    assert len({*ports, layout.postgres_port}) == 2 * brokers + 1


def test_first_port_is_followed_by_the_next_ones():
    assert new_layout(3, first_port=19092).bootstrap_servers == "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094"


def test_stored_layout_stands_when_nothing_is_wished(tmp_path):
    layout = settle(None, Wish(brokers=2, postgres=True))
    write_layout(tmp_path / "deep" / "stack.json", layout)
    assert settle(read_layout(tmp_path / "deep" / "stack.json"), Wish()) == layout


def test_postgres_is_added_and_moved_without_touching_the_brokers():
    kafka_only = settle(None, Wish())
    added = settle(kafka_only, Wish(postgres=True))
    moved = settle(added, Wish(postgres_port=15432))
    assert kafka_only.postgres_port is None
    assert added.postgres_port not in (None, 15432)
    assert moved.postgres_port == 15432
    assert kafka_only.brokers == added.brokers == moved.brokers


def test_moving_brokers_keeps_the_cluster():
    before = settle(None, Wish(brokers=2))
    after = settle(before, Wish(port=19092))
    assert after.cluster_id == before.cluster_id
    assert [node.port for node in after.brokers] == [19092, 19093]


def test_number_of_brokers_cannot_change_under_data():
    with pytest.raises(ConfigInvalid, match=r"1 broker.*--fresh"):
        settle(settle(None, Wish(brokers=1)), Wish(brokers=3))


def test_damaged_file_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "stack.json").write_text('{"cluster_id": 1}')
    with pytest.raises(ConfigInvalid, match="--fresh"):
        read_layout(tmp_path / "stack.json")
