"""The ports of a platform are looked at before it starts."""

import socket

import pytest
from waiting import free_ports

from touchstone.errors import PlatformError, UsageError
from touchstone.platform.addresses import Addresses


@pytest.mark.parametrize("port", [-1, 0, 65535, 80000])
def test_a_port_without_a_next_one_is_refused(port):
    with pytest.raises(UsageError, match=f"got port {port}, expected one from 1 to 65534"):
        Addresses.of(port)


@pytest.mark.parametrize(("taken", "whose"), [(0, "the listener"), (1, "serving")])
def test_a_taken_port_is_named_with_what_it_was_for(taken, whose):
    port = free_ports()
    assert Addresses.of(port).serving_url == f"http://127.0.0.1:{port + 1}"
    with socket.create_server(("127.0.0.1", port + taken)):
        expected = f"port {port + taken} of 127.0.0.1 is taken .* for {whose}"
        with pytest.raises(PlatformError, match=expected):
            Addresses.of(port)
