"""One case for each flow: how to prepare a world in which the flow can run, and how to request it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from portico.flows.dispatch import FLOWS
from portico.resources.operation import Action
from tests.support.examples import CHANGES
from tests.support.world import PARTS, World


@dataclass(frozen=True)
class Requested:
    """What a case requests. ``load_balancer_id`` is "" if it concerns a spare."""

    action: str
    kind: Any
    subject_id: str
    load_balancer_id: str
    changes: dict[str, Any] | None = None


@dataclass(frozen=True)
class Case:
    """``prepare`` brings a new world to the point where the flow can run."""

    name: str
    prepare: Callable[[World], Requested]

    def __str__(self) -> str:
        return self.name


def _create_load_balancer(world: World) -> Requested:
    load_balancer_id = world.describe()["load_balancer"]
    return Requested("create", "load_balancer", load_balancer_id, load_balancer_id)


def _of_load_balancer(action: str) -> Callable[[World], Requested]:
    def prepare(world: World) -> Requested:
        load_balancer_id = world.build()["load_balancer"]
        changes = CHANGES["load_balancer"] if action == "update" else None
        return Requested(action, "load_balancer", load_balancer_id, load_balancer_id, changes)

    return prepare


def _create_where_the_network_chooses(world: World) -> Requested:
    world.network.offers = False
    return _create_load_balancer(world)


def _update_vips(world: World) -> Requested:
    load_balancer_id = world.build(vip_sg_ids=[str(uuid4())])["load_balancer"]
    changes = {"vip_qos_policy_id": str(uuid4()), "vip_sg_ids": [str(uuid4())]}
    return Requested("update", "load_balancer", load_balancer_id, load_balancer_id, changes)


def _of_part(action: str, kind: str) -> Callable[[World], Requested]:
    def prepare(world: World) -> Requested:
        ids = world.build()
        subject_id = world.add_part(kind, ids) if action == "create" else ids[kind]
        return Requested(action, kind, subject_id, ids["load_balancer"], CHANGES[kind] if action == "update" else None)

    return prepare


def _failover_amphora(world: World) -> Requested:
    load_balancer_id = world.build()["load_balancer"]
    return Requested("failover", "amphora", world.amphora_of(load_balancer_id), load_balancer_id)


def _create_spare(_world: World) -> Requested:
    return Requested("create", "amphora", "", "")


def _of_spare(action: str) -> Callable[[World], Requested]:
    return lambda world: Requested(action, "amphora", world.worker.create_amphora(), "")


CASES = [
    Case("CreateLoadBalancer", _create_load_balancer),
    Case("CreateLoadBalancer where the network chooses", _create_where_the_network_chooses),
    Case("UpdateLoadBalancer", _of_load_balancer("update")),
    Case("UpdateLoadBalancer of its VIPs", _update_vips),
    Case("DeleteLoadBalancer", _of_load_balancer("delete")),
    Case("FailoverLoadBalancer", _of_load_balancer("failover")),
    *(
        Case(FLOWS[kind, action].__name__, _of_part(action, kind))
        for kind in PARTS
        for action in (Action.CREATE, Action.UPDATE, Action.DELETE)
    ),
    Case("FailoverAmphora", _failover_amphora),
    Case("FailoverAmphora of a spare", _of_spare("failover")),
    Case("CreateAmphora", _create_spare),
    Case("DeleteAmphora", _of_spare("delete")),
]


def run(world: World, requested: Requested) -> None:
    """Run what was requested through the worker's own method."""
    if (requested.action, requested.kind) == ("create", "amphora"):
        world.worker.create_amphora()
    else:
        world.do(requested.action, requested.kind, requested.subject_id, requested.changes)
