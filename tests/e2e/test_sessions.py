"""Sessions: clients keep their member whatever is done to their load balancer."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple

import pytest

from portico import Embedded
from tests.e2e.web import Web, build_web
from tests.support.origins import Origin
from tests.support.waiting import PATIENCE

CLIENTS = 12


class Variant(NamedTuple):
    """How clients are told apart, and which protocol the listener and its pool speak."""

    persistence: dict[str, Any]
    protocol: str = "HTTP"


BY_ADDRESS, BY_COOKIE = Variant({"type": "SOURCE_IP"}), Variant({"type": "APP_COOKIE", "cookie_name": "session"})
OVER_TCP = Variant({"type": "SOURCE_IP"}, "TCP")
VARIANTS = pytest.mark.parametrize(
    "variant", [BY_ADDRESS, BY_COOKIE, OVER_TCP], ids=["by address", "by cookie", "over TCP"]
)


class Clients:
    """Clients that have each sent a request, and the member that served each of them."""

    def __init__(self, web: Web, variant: Variant) -> None:
        self._web, self._by_cookie = web, variant == BY_COOKIE
        self._cookies: dict[int, str] = {}
        self.served = {number: self._first(number) for number in range(CLIENTS)}
        assert len(set(self.served.values())) == 2

    def _first(self, number: int) -> str:
        if not self._by_cookie:
            return self.ask(number)
        reply = self._web.ask("/login")
        self._cookies[number] = reply.headers["set-cookie"].partition(";")[0]
        return reply.body

    def ask(self, number: int) -> str:
        """Send another request of a client; return the name of the member that answers."""
        if self._by_cookie and number in self._cookies:
            return self._web.ask(Cookie=self._cookies[number]).body
        return self._web.ask(source=f"127.0.4.{number + 1}").body

    @contextmanager
    def connection(self, number: int) -> Iterator[Callable[[], str]]:
        """A connection of a client that stays open. Yields a function that sends a request on it."""
        source = "127.0.0.1" if self._by_cookie else f"127.0.4.{number + 1}"
        headers = {"Cookie": self._cookies[number]} if self._by_cookie else {}
        web = self._web
        connection = http.client.HTTPConnection(web.address, web.port, timeout=PATIENCE, source_address=(source, 0))

        def ask() -> str:
            connection.request("GET", "/", headers=headers)
            return connection.getresponse().read().decode()

        with closing(connection):
            yield ask

    def moved(self) -> list[int]:
        """The clients that another member serves now. They are asked in another order than at first."""
        order = [*reversed(range(0, CLIENTS, 2)), *range(1, CLIENTS, 2)]
        return [number for number in order if self.ask(number) != self.served[number]]

    @contextmanager
    def requesting(self) -> Iterator[list[int]]:
        """Ask with all clients, one after the other, while the block runs; yields the list of those that were moved."""
        moved: list[int] = []
        over = threading.Event()

        def request() -> None:
            while not over.is_set():
                moved.extend(self.moved())

        thread = threading.Thread(target=request)
        thread.start()
        try:
            yield moved
        finally:
            over.set()
            thread.join()


def build(portico: Embedded, origins: list[Origin], variant: Variant) -> Web:
    """A load balancer with two members that keeps sessions."""
    pool = {"protocol": variant.protocol, "session_persistence": variant.persistence}
    return build_web(portico, origins[:2], listener={"protocol": variant.protocol}, pool=pool)


@VARIANTS
def test_clients_keep_their_member_through_changes_in_a_row(
    portico: Embedded, origins: list[Origin], variant: Variant
) -> None:
    """Several changes in a row, each of which starts a new process, and members added and removed leave all clients at
    their members. So do clients whose requests arrive during a change."""
    web = build(portico, origins, variant)
    clients = Clients(web, variant)
    with clients.requesting() as moved:
        for number in range(4):
            portico.worker.update_listener(web.listener, {"timeout_client_data": 51000 + number})
        web.add_member(origins[2])
        portico.worker.update_listener(web.listener, {"timeout_client_data": 61000})
        portico.worker.update_pool(web.pool, {"lb_algorithm": "LEAST_CONNECTIONS"})
        portico.worker.delete_member(web.members[origins[2].name])
        portico.worker.update_listener(web.listener, {"timeout_client_data": 62000})

    assert (moved, clients.moved()) == ([], [])
    assert web.state().restarts == 0


@VARIANTS
def test_clients_with_open_connections_keep_their_member(
    portico: Embedded, origins: list[Origin], variant: Variant
) -> None:
    """A client with an open connection to the former process is served by its member on that connection, and by the
    same member on a new connection afterwards."""
    web = build(portico, origins, variant)
    clients = Clients(web, variant)
    with ExitStack() as stack:
        kept = {number: stack.enter_context(clients.connection(number)) for number in range(CLIENTS)}
        for number, ask in kept.items():
            assert ask() == clients.served[number]
        portico.worker.update_listener(web.listener, {"timeout_client_data": 51000})
        order = [*range(1, CLIENTS, 2), *range(0, CLIENTS, 2)]
        assert [number for number in order if kept[number]() != clients.served[number]] == []
        assert clients.moved() == []


@VARIANTS
def test_clients_keep_their_member_through_a_failover(
    portico: Embedded, origins: list[Origin], variant: Variant
) -> None:
    """A new amphora knows the sessions of the one that it replaces: in a failover of the amphora, and then in one of
    the load balancer."""
    web = build(portico, origins, variant)
    clients = Clients(web, variant)

    portico.worker.failover_amphora(web.amphora())
    assert clients.moved() == []
    portico.worker.update_listener(web.listener, {"timeout_client_data": 51000})
    portico.worker.failover_load_balancer(web.id)
    assert clients.moved() == []
