"""Visitors who take their time: a head has to be whole within the listener's time for clients."""

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
    """Send a head that never ends, a byte each 0.2 s for half a minute; what came back until it was cut off. Raises
    TimeoutError where it never was."""
    with socket.create_connection(address, PATIENCE) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nX: ")
        visitor.settimeout(_PAUSE)
        for _ in range(_DRIPS):
            with suppress(TimeoutError):
                return visitor.recv(4096)
            with suppress(ConnectionError):
                visitor.sendall(b"x")
    raise TimeoutError("the visitor still has the connection")


@pytest.mark.parametrize(
    ("listener", "pool"),
    [
        ({"protocol": "HTTP"}, {"protocol": "HTTP"}),
        ({"protocol": "HTTP", "timeout_tcp_inspect": 60000}, {"protocol": "HTTP"}),
        ({"protocol": "TCP"}, {"protocol": "HTTP", "persistence_type": "HTTP_COOKIE"}),
    ],
    ids=["HTTP", "HTTP, inspected", "TCP, read as HTTP"],
)
def test_who_drips_his_head_is_cut_off(start: Start, listener: Document, pool: Document) -> None:
    """Each byte is within the time for one, and the whole is not: 408, and the connection ends. Others are served."""
    with Origin("web") as origin:
        pools = {"web": {**pool, "members": [{"address": "127.0.0.1", "protocol_port": origin.port}]}}
        document = http_listener(default_pool="web", timeout_client_data=1000, **listener)
        [address] = start({"listeners": [document], "pools": pools})
        assert _drip(address).startswith(b"HTTP/1.1 408 ")
        assert ask(address).status == 200


def test_no_limit_is_no_limit(start: Start) -> None:
    """A listener whose time for clients is 0 waits for a head as long as it takes."""
    with Origin("web") as origin:
        pools = {"web": {"protocol": "HTTP", "members": [{"address": "127.0.0.1", "protocol_port": origin.port}]}}
        [address] = start({"listeners": [http_listener(default_pool="web", timeout_client_data=0)], "pools": pools})
        with socket.create_connection(address, 0.5) as visitor:
            for part in (b"GET / HTTP/1.1\r\n", b"Host: x\r\nConnection: close\r\n"):
                visitor.sendall(part)
                with pytest.raises(TimeoutError):
                    visitor.recv(4096)
            visitor.settimeout(PATIENCE)
            visitor.sendall(b"\r\n")
            assert visitor.recv(4096).startswith(b"HTTP/1.1 200 ")
