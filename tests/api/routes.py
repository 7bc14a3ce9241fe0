"""Every route of the API, and what a request to each needs: ids of existing objects, and a valid body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi.routing import _IncludedRouter
from sqlalchemy import inspect, text

from portico.resources.kinds import DESCRIBED, L7RULE, LISTENER, Kind
from portico.store.sql.schema import upgrade
from tests.api.service import SUBNET, Service
from tests.support.examples import CHANGES, VALID, is_nested, path_of, place_of
from tests.support.services import Services

Address = tuple[str, str]
"""Method and path."""

UNGUARDED: frozenset[Address] = frozenset({("GET", "/"), ("GET", "/v2.0"), ("GET", "/docs"), ("GET", "/openapi.json")})
"""Routes that need no token: they describe how to use the API."""
WITHOUT_RULE: frozenset[Address] = frozenset(
    ("GET", f"/v2.0/{rest}")
    for rest in (
        *("networks", "subnets", "ports", "floatingips"),
        *("networks/{network_id}", "subnets/{subnet_id}", "ports/{port_id}"),
    )
)
"""Routes for which any token will do: everybody gets the same answers."""
LISTS = frozenset([*(path_of(kind, "") for kind in DESCRIBED if not is_nested(kind)), "/v2.0/lbaas/quotas"])
"""Lists of objects that belong to projects: callers see only their own."""
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
"""Lists of what belongs to no project, and is visible to every caller with a role."""


def routes_of(service: Service) -> list[Address]:
    """Every route of the application, including those that its OpenAPI document leaves out."""
    found: list[Address] = []
    for part in service.app.routes:
        routes = part.original_router.routes if isinstance(part, _IncludedRouter) else [part]
        for route in routes:
            methods = (getattr(route, "methods", None) or set()) - {"HEAD"}
            assert methods, f"{route} is a kind of route that this test does not know"
            found += [(method, str(getattr(route, "path", ""))) for method in methods]
    return sorted(found)


_BESIDE: Mapping[Kind, dict[str, Any]] = {LISTENER: {"protocol_port": 5}}
"""The fields in which a second object must differ from the first."""


def _parameter_of(kind: Kind) -> str:
    """The name that the paths use for the id of an object."""
    return "rule_id" if kind is L7RULE else kind.id_field


@dataclass(frozen=True)
class Inventory:
    """One object of each kind, in project p1. ``ids`` maps each parameter of a path to the id of an existing object."""

    service: Service
    ids: dict[str, str]

    def address(self, path: str) -> str:
        """A path with its parameters filled in. Fails for a parameter that is not in ``ids``."""
        return path.format(**self.ids)

    def body(self, address: Address) -> Any:
        """A body that would be valid if the caller were allowed to send it; None for a request without a body."""
        method, path = address
        if method in ("GET", "DELETE") or path.endswith(("/failover", "/config")):
            return None
        return self._bodies()[path if method == "POST" else f"PUT {path}"]

    def _bodies(self) -> dict[str, Any]:
        lbaas, ids = "/v2.0/lbaas", self.ids
        named, profile = {"name": "other"}, {"name": "p2", "provider_name": "amphora"}
        return {
            **self._bodies_of_kinds(),
            f"{lbaas}/loadbalancers": {"loadbalancer": {"vip_subnet_id": SUBNET, "project_id": "p1"}},
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
            f"PUT {lbaas}/pools/{{pool_id}}/members": {"members": []},
            f"PUT {lbaas}/quotas/{{project_id}}": {"quota": {"pool": 9}},
            f"PUT {lbaas}/flavors/{{flavor_id}}": {"flavor": named},
            f"PUT {lbaas}/flavorprofiles/{{flavor_profile_id}}": {"flavorprofile": named},
            f"PUT {lbaas}/availabilityzones/{{name}}": {"availability_zone": {"description": "other"}},
            f"PUT {lbaas}/availabilityzoneprofiles/{{profile_id}}": {"availability_zone_profile": named},
        }

    def _bodies_of_kinds(self) -> dict[str, Any]:
        """For each kind, the body of another object beside the existing one, and of a change."""
        found: dict[str, Any] = {}
        for kind in DESCRIBED:
            root, parent = kind.view.root, kind.parent
            parent_id = self.ids[parent.id_field] if parent is not None else ""
            path = path_of(kind, f"{{{parent.id_field}}}" if parent is not None else "")
            found[path] = {root: {**place_of(kind, parent_id), **VALID[kind.name], **_BESIDE.get(kind, {})}}
            found[f"PUT {path}/{{{_parameter_of(kind)}}}"] = {root: CHANGES[kind.name]}
        return found

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """The content of the database by table, except for the slots, which a worker's keeper can give back at any
        time."""
        engine = self.service.database.engine
        with engine.connect() as connection:
            return {
                table: sorted((tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
                for table in inspect(engine).get_table_names()
                if table != "slot"
            }


@contextmanager
def open_inventory(services: Services) -> Iterator[Inventory]:
    """One object of each kind, in project p1, on a SQLite database of its own."""
    with services.sqlite.lend_database(upgrade) as url:
        service = Service(url)
        yield make_inventory(service)
        service.close()


def make_inventory(service: Service) -> Inventory:
    """One object of each kind, in project p1, built."""
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
        **{_parameter_of(kind): made[kind.view.root]["id"] for kind in DESCRIBED},
        "amphora_id": amphora["id"],
        "flavor_id": flavor["id"],
        "flavor_profile_id": profile["id"],
        "profile_id": zone_profile["id"],
        "name": zone["name"],
        "project_id": "p1",
        "provider": "amphora",
        **{name: str(uuid4()) for name in ("network_id", "subnet_id", "port_id")},
    }
    return Inventory(service, ids)
