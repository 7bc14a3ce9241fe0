"""Every route of the API, and what a request to each needs: ids of things that are there, and a right body."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi.routing import _IncludedRouter
from sqlalchemy import inspect, text

from portico.store.sql.schema import upgrade
from tests.api.service import SUBNET, Service
from tests.support.services import Services

Address = tuple[str, str]
"""Method and path."""

UNGUARDED: frozenset[Address] = frozenset({("GET", "/"), ("GET", "/v2.0"), ("GET", "/docs"), ("GET", "/openapi.json")})
"""What needs no token: how to speak to the API."""
WITHOUT_RULE: frozenset[Address] = frozenset(
    ("GET", f"/v2.0/{rest}")
    for rest in (
        *("networks", "subnets", "ports", "floatingips"),
        *("networks/{network_id}", "subnets/{subnet_id}", "ports/{port_id}"),
    )
)
"""What needs a token, and any is good: the same answers for everybody."""
LISTS = frozenset(
    f"/v2.0/lbaas/{name}" for name in ("loadbalancers", "listeners", "pools", "healthmonitors", "l7policies", "quotas")
)
"""Lists of what is of projects: each sees his own."""
OFFERS: frozenset[Address] = frozenset(
    ("GET", f"/v2.0/lbaas/{rest}")
    for rest in (
        "providers",
        "flavors",
        "flavors/{flavor_id}",
        "availabilityzones",
        "availabilityzones/{name}",
        "quotas/defaults",
    )
)
"""What belongs to no project, and everybody may see who may see anything."""


def routes_of(service: Service) -> list[Address]:
    """Every route that the application has, those that its document leaves out too."""
    found: list[Address] = []
    for part in service.app.routes:
        routes = part.original_router.routes if isinstance(part, _IncludedRouter) else [part]
        for route in routes:
            methods = (getattr(route, "methods", None) or set()) - {"HEAD"}
            assert methods, f"{route} is a kind of route that this test does not know"
            found += [(method, str(getattr(route, "path", ""))) for method in methods]
    return sorted(found)


@dataclass(frozen=True)
class World:
    """One of everything, in project p1. ``ids`` maps each parameter of a path to what is there."""

    service: Service
    ids: dict[str, str]

    def address(self, path: str) -> str:
        """A path with its parameters filled in: fails for one that nobody has thought of."""
        return path.format(**self.ids)

    def body(self, address: Address) -> Any:
        """A body that would be right, if the caller were; None for a request that has none."""
        method, path = address
        if method in ("GET", "DELETE") or path.endswith(("/failover", "/config")):
            return None
        return self._bodies()[path if method == "POST" else f"PUT {path}"]

    def _bodies(self) -> dict[str, Any]:
        lbaas, ids = "/v2.0/lbaas", self.ids
        pool = {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
        rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}
        monitor = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
        lb_id, listener_id, pool_id = ids["load_balancer_id"], ids["listener_id"], ids["pool_id"]
        named, profile = {"name": "other"}, {"name": "p2", "provider_name": "amphora"}
        return {
            f"{lbaas}/loadbalancers": {"loadbalancer": {"vip_subnet_id": SUBNET, "project_id": "p1"}},
            f"{lbaas}/listeners": {"listener": {"loadbalancer_id": lb_id, "protocol": "TCP", "protocol_port": 5}},
            f"{lbaas}/pools": {"pool": {"loadbalancer_id": lb_id, **pool}},
            f"{lbaas}/pools/{{pool_id}}/members": {"member": {"address": "192.0.2.5", "protocol_port": 5}},
            f"{lbaas}/healthmonitors": {"healthmonitor": {"pool_id": pool_id, **monitor}},
            f"{lbaas}/l7policies": {"l7policy": {"listener_id": listener_id, "action": "REJECT"}},
            f"{lbaas}/l7policies/{{l7policy_id}}/rules": {"rule": rule},
            f"{lbaas}/flavors": {"flavor": {"name": "f2", "flavor_profile_id": ids["flavor_profile_id"]}},
            f"{lbaas}/flavorprofiles": {
                "flavorprofile": {"name": "p", "provider_name": "amphora", "flavor_data": "{}"}
            },
            f"{lbaas}/availabilityzones": {
                "availability_zone": {"name": "z2", "availability_zone_profile_id": ids["profile_id"]}
            },
            f"{lbaas}/availabilityzoneprofiles": {
                "availability_zone_profile": {**profile, "availability_zone_data": "{}"}
            },
            f"PUT {lbaas}/loadbalancers/{{load_balancer_id}}": {"loadbalancer": named},
            f"PUT {lbaas}/listeners/{{listener_id}}": {"listener": named},
            f"PUT {lbaas}/pools/{{pool_id}}": {"pool": named},
            f"PUT {lbaas}/pools/{{pool_id}}/members": {"members": []},
            f"PUT {lbaas}/pools/{{pool_id}}/members/{{member_id}}": {"member": named},
            f"PUT {lbaas}/healthmonitors/{{health_monitor_id}}": {"healthmonitor": named},
            f"PUT {lbaas}/l7policies/{{l7policy_id}}": {"l7policy": named},
            f"PUT {lbaas}/l7policies/{{l7policy_id}}/rules/{{rule_id}}": {"rule": {"value": "/other"}},
            f"PUT {lbaas}/quotas/{{project_id}}": {"quota": {"pool": 9}},
            f"PUT {lbaas}/flavors/{{flavor_id}}": {"flavor": named},
            f"PUT {lbaas}/flavorprofiles/{{flavor_profile_id}}": {"flavorprofile": named},
            f"PUT {lbaas}/availabilityzones/{{name}}": {"availability_zone": {"description": "other"}},
            f"PUT {lbaas}/availabilityzoneprofiles/{{profile_id}}": {"availability_zone_profile": named},
        }

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the database holds, by table; but for the slots that a worker's keeper gives back when it likes."""
        engine = self.service.database.engine
        with engine.connect() as connection:
            return {
                table: sorted((tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
                for table in inspect(engine).get_table_names()
                if table != "slot"
            }


@contextmanager
def open_world(services: Services) -> Iterator[World]:
    """One of everything, in project p1, on a SQLite database of its own."""
    with services.sqlite.lend_database(upgrade) as url:
        service = Service(url)
        yield make_world(service)
        service.close()


def make_world(service: Service) -> World:
    """One of everything, in project p1, built."""
    made = service.one_of_each()
    service.settle()
    service.request("PUT", "/v2.0/lbaas/quotas/p1", {"quota": {"listener": 77}})
    [amphora] = service.get("/v2.0/octavia/amphorae")["amphorae"]
    profile = service.create(
        "flavorprofile", "/v2.0/lbaas/flavorprofiles", name="p", provider_name="amphora", flavor_data="{}"
    )
    flavor = service.create("flavor", "/v2.0/lbaas/flavors", name="f", flavor_profile_id=profile["id"])
    zone_profile = service.create(
        "availability_zone_profile",
        "/v2.0/lbaas/availabilityzoneprofiles",
        name="zp",
        provider_name="amphora",
        availability_zone_data="{}",
    )
    zone = service.create(
        "availability_zone",
        "/v2.0/lbaas/availabilityzones",
        name="z",
        availability_zone_profile_id=zone_profile["id"],
    )
    ids = {
        "load_balancer_id": made["loadbalancer"]["id"],
        "listener_id": made["listener"]["id"],
        "pool_id": made["pool"]["id"],
        "member_id": made["member"]["id"],
        "health_monitor_id": made["healthmonitor"]["id"],
        "l7policy_id": made["l7policy"]["id"],
        "rule_id": made["rule"]["id"],
        "amphora_id": amphora["id"],
        "flavor_id": flavor["id"],
        "flavor_profile_id": profile["id"],
        "profile_id": zone_profile["id"],
        "name": zone["name"],
        "project_id": "p1",
        "provider": "amphora",
        **{name: str(uuid4()) for name in ("network_id", "subnet_id", "port_id")},
    }
    return World(service, ids)
