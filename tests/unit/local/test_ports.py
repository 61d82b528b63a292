import socket

import pytest

from bus.errors import PortTaken
from bus.local.ports import free_ports, is_free, must_be_free


def test_port_in_use_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortTaken, match=f"port {port}, which kafka-1 needs.*stop it"):
            must_be_free(port, "kafka-1", "stop it")


def test_port_of_a_server_that_just_closed_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            client.recv(1)
    assert is_free(port)


def test_chosen_ports_are_never_those_of_outgoing_connections():
    assert all(port < 32768 for port in free_ports(20))


def test_taken_ports_are_left_out():
    assert not set(free_ports(5)) & set(free_ports(5, frozenset(range(15_000, 25_000)))) & set(range(15_000, 25_000))
