"""A load balancer as the tests build it, with methods to send it requests and to inspect it."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from portico import Embedded
from portico.ports.amphora import Endpoint
from portico_wire import AmphoraState
from tests.support.ports import find_free_port
from tests.support.waiting import PATIENCE


class Listening(Protocol):
    """The facts about a server that a member needs."""

    name: str
    port: int


class Reply(NamedTuple):
    """An answer; status 0 if none came."""

    status: int
    body: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012 - a default that nothing writes to


@dataclass
class Web:
    """A load balancer with one listener and its default pool. ``members`` are by their servers' names."""

    portico: Embedded
    id: str
    pool: str
    listener: str
    port: int
    members: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Its VIP."""
        return str(self.portico.catalog.show("load_balancer", self.id)["vip_address"])

    def add_member(self, server: Listening, **values: Any) -> str:
        """Describe and create a member."""
        member = self.describe_member(server, **values)
        self.portico.worker.create_member(member)
        return member

    def describe_member(self, server: Listening, **values: Any) -> str:
        """Describe a member, to be built with its load balancer."""
        described = {"address": "127.0.0.1", "protocol_port": server.port, **values}
        self.members[server.name] = self.portico.catalog.add_member(self.pool, **described)
        return self.members[server.name]

    def add_policy(self, *rules: dict[str, Any], **values: Any) -> str:
        """Describe and create an L7 policy with its rules. It takes effect with the last rule."""
        policy = self.portico.catalog.add_l7policy(self.listener, **values)
        self.portico.worker.create_l7policy(policy)
        for rule in rules:
            self.portico.worker.create_l7rule(self.portico.catalog.add_l7rule(policy, **rule))
        return policy

    def ask(self, path: str = "/", *, source: str = "127.0.0.1", **headers: str) -> Reply:
        """Send one request on a connection of its own. An underscore in a header's name stands for a hyphen."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE, source_address=(source, 0))
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, response.read().decode(), got)
        except (ConnectionError, http.client.RemoteDisconnected):
            return Reply(0)
        finally:
            connection.close()

    def spread(self, count: int, **options: Any) -> Counter[str]:
        """Send ``count`` requests, and count the answers by server. A failed request counts under its status."""
        replies = [self.ask(**options) for _ in range(count)]
        return Counter(reply.body if reply.status == 200 else str(reply.status) for reply in replies)

    def amphora(self) -> str:
        """The id of the one amphora that serves the load balancer."""
        [amphora] = self.portico.catalog.list_ids("amphora", load_balancer_id=self.id)
        return amphora

    def state(self) -> AmphoraState:
        """The state that the amphora's agent reports."""
        amphora = self.amphora()
        row = self.portico.catalog.show("amphora", amphora)
        endpoint = Endpoint(amphora, row["agent_url"], row["agent_name"])
        return self.portico.worker.services.amphorae.state(endpoint)


def build_web(
    portico: Embedded,
    servers: Sequence[Listening],
    *,
    monitor: dict[str, Any] | None = None,
    listener: dict[str, Any] | None = None,
    pool: dict[str, Any] | None = None,
) -> Web:
    """Describe a load balancer with everything in it, and build it with one call.

    The dicts override the values of an HTTP listener with a ROUND_ROBIN pool and no monitor.
    """
    catalog, port = portico.catalog, find_free_port()
    load_balancer = catalog.add_load_balancer(name="web")
    pool_id = catalog.add_pool(load_balancer, **{"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **(pool or {})})
    described = {"protocol": "HTTP", "protocol_port": port, "default_pool_id": pool_id, **(listener or {})}
    web = Web(portico, load_balancer, pool_id, catalog.add_listener(load_balancer, **described), port)
    for server in servers:
        web.describe_member(server)
    if monitor is not None:
        catalog.add_health_monitor(pool_id, **monitor)
    portico.worker.create_load_balancer(load_balancer)
    return web
