"""The API in one process: the application, a database, and a controller worker on no-op drivers that runs on demand."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import event
from starlette.requests import Request

from portico.api import create_app
from portico.api.identity import Identity
from portico.errors import Unauthenticated
from portico.ports.network import Network
from portico.resources.kinds import DESCRIBED, PARTS
from portico.settings import (
    QuotaSettings,
)
from tests.support.examples import VALID, is_nested, path_of, place_of
from tests.support.world import World, make_settings

SUBNET = "6e0e1b8c-3f2a-4d6e-9a55-1c1a6f0d2b11"
COLLECTION = {kind.view.root: path_of(kind, "") for kind in DESCRIBED if not is_nested(kind)}
"""Root key to the path of the collection."""


class ByHeader:
    """Believes the request's headers, so that a test can be any caller: ``X-Project-Id`` (empty: no project),
    ``X-Roles``, ``X-Domain-Id``, ``X-System-Scope`` and ``X-Auth-Token``.

    Follows the rules for authenticators: a request without these headers is refused.
    """

    async def identify(self, request: Request) -> Identity:
        """The caller whom the headers describe."""
        headers = request.headers
        project_id = headers.get("x-project-id")
        if project_id is None:
            raise Unauthenticated
        roles = frozenset(headers.get("x-roles", "").split(",")) - {""}
        scopes = headers.get("x-domain-id"), headers.get("x-system-scope")
        return Identity("tester", project_id or None, roles, *scopes, headers.get("x-auth-token"))


class Service(World):
    """A world with the API in front of it. ``settle`` runs the queued operations; nothing runs before that."""

    def __init__(self, url: str, quotas: QuotaSettings | None = None, network: Network | None = None) -> None:
        super().__init__(make_settings(url, quotas=quotas), network=network)
        self.app = create_app(self.settings, database=self.database, requests=self.requests, authenticator=ByHeader())
        self.statements: list[str] = []
        for engine in self.database.engines():
            event.listen(engine, "before_cursor_execute", self._count)
        self._runner = asyncio.Runner()

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement)

    def close(self) -> None:
        """Close everything."""
        self._runner.close()
        super().close()

    def settle(self) -> None:
        """Run queued operations until there are none."""
        self.run_all()

    # Requests

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        project: str | None = "p1",
        roles: str = "admin",
        **options: Any,
    ) -> httpx.Response:
        """Send a request as a caller with ``roles`` (``a,b``) in ``project``; with None, the request names no caller at
        all."""
        headers = dict(options.pop("headers", {}))
        if project is not None:
            headers |= {"x-project-id": project, "x-roles": roles}
        if body is not None:
            options["json"] = body

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
                return await client.request(method, path, headers=headers, **options)

        return self._runner.run(send())

    def get(self, path: str, **options: Any) -> Any:
        """The body of a GET that must succeed."""
        response = self.request("GET", path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def names(self, path: str, key: str = "loadbalancers", **options: Any) -> list[str]:
        """The names in a list."""
        return [one["name"] for one in self.get(path, **options)[key]]

    def create(self, root: str, path: str | None = None, *, as_project: str = "p1", **values: Any) -> Any:
        """The object that a POST creates."""
        response = self.request("POST", path or COLLECTION[root], {root: values}, project=as_project)
        assert response.status_code == 201, response.text
        return response.json()[root]

    # One of each

    def load_balancer(self, **values: Any) -> Any:
        """A load balancer."""
        return self.create("loadbalancer", **{"vip_subnet_id": SUBNET, **values})

    def one_of_each(self, as_project: str = "p1") -> dict[str, Any]:
        """Create a load balancer with one part of each kind. Return root key to the answer to its POST."""
        made = {"loadbalancer": self.load_balancer(name="web", as_project=as_project)}
        lb_id = made["loadbalancer"]["id"]
        made["listener"] = self.create("listener", loadbalancer_id=lb_id, protocol="HTTP", protocol_port=80)
        made["pool"] = self.create(
            "pool", listener_id=made["listener"]["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN"
        )
        pool_id = made["pool"]["id"]
        made["member"] = self.create(
            "member", f"/v2.0/lbaas/pools/{pool_id}/members", address="192.0.2.1", protocol_port=80
        )
        made["healthmonitor"] = self.create(
            "healthmonitor", pool_id=pool_id, type="HTTP", delay=5, timeout=3, max_retries=2
        )
        made["l7policy"] = self.create("l7policy", listener_id=made["listener"]["id"], action="REJECT")
        made["rule"] = self.create(
            "rule",
            f"/v2.0/lbaas/l7policies/{made['l7policy']['id']}/rules",
            type="PATH",
            compare_type="STARTS_WITH",
            value="/admin",
        )
        for kind in PARTS:
            if kind.view.root not in made and kind.parent is not None:
                parent_id = made[kind.parent.view.root]["id"]
                values = {**place_of(kind, parent_id), **VALID[kind.name]}
                made[kind.view.root] = self.create(kind.view.root, path_of(kind, parent_id), **values)
        return made


def address_of(root: str, made: dict[str, Any]) -> str:
    """The path of an object of ``one_of_each``."""
    [kind] = [one for one in DESCRIBED if one.view.root == root]
    parent_id = made[kind.parent.view.root]["id"] if kind.parent is not None and is_nested(kind) else ""
    return f"{path_of(kind, parent_id)}/{made[root]['id']}"


def any_id() -> str:
    """An id that no object has."""
    return str(uuid4())
