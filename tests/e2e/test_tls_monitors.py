"""TLS-HELLO monitors: they make a handshake as clients do, with members present from the start and members added
later."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from portico import Embedded
from portico.settings import HealthSettings
from tests.e2e.conftest import running_portico
from tests.e2e.web import Web, build_web
from tests.support.certificates import Authority, make_server_context
from tests.support.waiting import PATIENCE, wait_until_equal

QUICK = HealthSettings(poll_seconds=0.2, lease_seconds=2.0)
MONITOR = {"type": "TLS-HELLO", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
_HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
"""A fatal alert as a TLS record."""


class _TlsServer:
    """A TCP server on a free port of 127.0.0.1 that calls ``greet`` for each connection until the test ends."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def greet(self, client: socket.socket) -> None:
        """Handle a connection."""
        raise NotImplementedError

    def _serve(self) -> None:
        while True:
            client, _ = self._listening.accept()
            with client, suppress(OSError):
                if self._stopping.is_set():
                    return
                client.settimeout(5)
                self.greet(client)

    def __enter__(self) -> Self:
        """Return the server, which is running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stopping.set()
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE):
            pass  # wakes the accepting thread
        self._thread.join(PATIENCE)
        self._listening.close()


class Modern(_TlsServer):
    """Makes TLS handshakes, but closes an SSLv3 connection without an alert, as Java and Windows do."""

    def __init__(self, name: str, directory: Path) -> None:
        self._context = make_server_context(Authority(directory, "authority").issue(name, (name,)))
        self._context.sni_callback = lambda _socket, wanted, _context: self.asked_for.add(wanted)
        self.asked_for: set[str | None] = set()
        super().__init__(name)

    def greet(self, client: socket.socket) -> None:
        """One handshake."""
        if client.recv(11, socket.MSG_PEEK)[9:11] > b"\x03\x00":
            with suppress(ssl.SSLError):
                self._context.wrap_socket(client, server_side=True).close()


class Refusing(_TlsServer):
    """Answers every handshake with a fatal alert."""

    def greet(self, client: socket.socket) -> None:
        """One alert."""
        client.recv(4096)
        client.sendall(_HANDSHAKE_FAILURE)


@pytest.fixture(scope="module")
def watched(haproxy: Path, run_directory: Path) -> Iterator[Embedded]:
    """Portico with each HAProxy, whose health manager polls five times a second."""
    with running_portico(Path(tempfile.mkdtemp(dir=run_directory)), haproxy, health=QUICK) as portico:
        yield portico


def _await_statuses(web: Web, **wanted: str) -> None:
    def statuses() -> dict[str, str]:
        show = web.portico.catalog.show
        return {name: str(show("member", web.members[name])["operating_status"]) for name in wanted}

    wait_until_equal(statuses, wanted, "the members")


def test_a_server_that_makes_a_modern_handshake_is_online(watched: Embedded, tmp_path: Path) -> None:
    """A server that does not know SSLv3 is ONLINE, and one that only sends alerts is in ERROR, whether it is present
    from the start or added to the running HAProxy."""
    tls = {"protocol": "HTTPS"}
    with (
        Modern("modern", tmp_path) as modern,
        Refusing("refusing") as refusing,
        Modern("second", tmp_path) as second,
        Refusing("refusing too") as refusing_too,
    ):
        web = build_web(watched, [modern, refusing], monitor=MONITOR, listener=tls, pool=tls)
        _await_statuses(web, modern="ONLINE", refusing="ERROR")
        pid = web.state().pid
        web.add_member(second)
        web.add_member(refusing_too)
        _await_statuses(web, **{"modern": "ONLINE", "refusing": "ERROR", "second": "ONLINE", "refusing too": "ERROR"})
        assert web.state().pid == pid


def test_a_handshake_names_the_monitors_domain(watched: Embedded, tmp_path: Path) -> None:
    """The handshake with a server that has many names contains the name set in the monitor."""
    tls = {"protocol": "HTTPS"}
    with Modern("named", tmp_path) as named:
        monitor = {**MONITOR, "domain_name": "www.example.com"}
        web = build_web(watched, [named], monitor=monitor, listener=tls, pool=tls)
        _await_statuses(web, named="ONLINE")
        assert named.asked_for == {"www.example.com"}
