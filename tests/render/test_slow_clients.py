"""Slow clients: the head of a request must be complete within the listener's client timeout."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from tests.render.clients import Address, Start, ask
from tests.render.trees import Document, http_listener
from tests.support.origins import Origin
from tests.support.waiting import PATIENCE

_DRIPS = 150
_PAUSE = 0.2


def _drip(address: Address) -> bytes:
    """Send a head that never ends, a byte each 0.2 s for half a minute, and return the answer that came before the
    connection was closed. Raises TimeoutError if it was not closed."""
    with socket.create_connection(address, PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        client.settimeout(_PAUSE)
        for _ in range(_DRIPS):
            with suppress(TimeoutError):
                return client.recv(4096)
            with suppress(ConnectionError):
                client.sendall(b"x")
    raise TimeoutError("the client still has the connection")


@pytest.mark.parametrize(
    ("listener", "pool"),
    [
        ({"protocol": "HTTP"}, {"protocol": "HTTP"}),
        ({"protocol": "HTTP", "timeout_tcp_inspect": 60000}, {"protocol": "HTTP"}),
        ({"protocol": "TCP"}, {"protocol": "HTTP", "persistence_type": "HTTP_COOKIE"}),
    ],
    ids=["HTTP", "HTTP, inspected", "TCP, read as HTTP"],
)
def test_a_client_that_sends_its_head_slowly_is_disconnected(start: Start, listener: Document, pool: Document) -> None:
    """A client whose bytes each arrive in time, but whose head as a whole does not, is answered 408 and disconnected.
    Other clients are served."""
    with Origin("web") as origin:
        pools = {"web": {**pool, "members": [{"address": "127.0.0.1", "protocol_port": origin.port}]}}
        document = http_listener(default_pool="web", timeout_client_data=1000, **listener)
        [address] = start({"listeners": [document], "pools": pools})
        assert _drip(address).startswith(b"HTTP/1.1 408 ")
        assert ask(address).status == 200


def test_a_timeout_of_0_is_no_limit(start: Start) -> None:
    """A listener whose client timeout is 0 waits for a head without limit."""
    with Origin("web") as origin:
        pools = {"web": {"protocol": "HTTP", "members": [{"address": "127.0.0.1", "protocol_port": origin.port}]}}
        [address] = start({"listeners": [http_listener(default_pool="web", timeout_client_data=0)], "pools": pools})
        with socket.create_connection(address, 0.5) as client:
            for part in (b"GET / HTTP/1.1\r\n", b"Host: x\r\nConnection: close\r\n"):
                client.sendall(part)
                with pytest.raises(TimeoutError):
                    client.recv(4096)
            client.settimeout(PATIENCE)
            client.sendall(b"\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
