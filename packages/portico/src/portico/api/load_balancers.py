"""Load balancers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Call, Received
from portico.api.documentation import gives, lists, shows, takes
from portico.api.faults import answer
from portico.api.queries import is_true
from portico.api.trees import TreePlan, as_objects, nest
from portico.errors import InvalidInput, LBNotFound
from portico.resources import LoadBalancerSpec
from portico.resources.kinds import LOAD_BALANCER, KindName
from portico.resources.listener_counters import COUNTERS
from portico.resources.load_balancer import LOAD_BALANCER_VIEW as VIEW
from portico.resources.row import new_id
from portico.store.reads.counters import read_load_balancer_stats
from portico.store.reads.status_tree import read_status_tree

router = APIRouter(prefix="/v2.0/lbaas/loadbalancers", tags=["load balancers"])

_VIP_SOURCES = ("vip_subnet_id", "vip_network_id", "vip_port_id")
_OBJECTS = {"type": ["array", "null"], "items": {"type": "object"}}
STATS = {
    "type": "object",
    "properties": {"stats": {"type": "object", "properties": {name: {"type": "integer"} for name in COUNTERS}}},
}


@router.get("", **lists(VIEW))
def list_load_balancers(call: Received) -> Response:
    """List all load balancers that the caller may see."""
    return call.list_kind(LOAD_BALANCER)


@router.post(
    "",
    **takes(shows(VIEW, 201), VIEW.root, LoadBalancerSpec, VIEW, more={"listeners": _OBJECTS, "pools": _OBJECTS}),
)
def create_load_balancer(call: Received) -> Response:
    """Create a load balancer, and everything below it that the body describes.

    With ``listeners`` and ``pools``, the whole tree is accepted in one transaction and built by one operation.
    """
    body = call.object_before_authorization(VIEW.root, "loadbalancer:post")
    _authorize(call, body)
    load_balancer_id = new_id()
    plan = TreePlan(load_balancer_id, call.values, call.context.settings.validation)
    plan.add(body)
    values = _own_values(call, body)
    accepted = call.context.requests.create(
        LOAD_BALANCER.name,
        request_id=call.request_id,
        parts=plan.parts,
        caller=call.caller,
        id=load_balancer_id,
        **values,
    )
    shown = accepted.shown
    if plan.parts:
        shown = nest(shown, accepted.parts, {part.object_id: part.parent_id for part in plan.parts})
    return answer({VIEW.root: shown}, 201)


def _authorize(call: Call, body: dict[str, Any]) -> None:
    """Raise Forbidden unless the caller may do this in the project that the body names as ``project_id`` or
    ``tenant_id``, or in their own if it names none."""
    named = [body[name] for name in ("project_id", "tenant_id") if body.get(name) not in (None, "")]
    project_id = named[0] if named else call.identity.project_id
    call.authorize("loadbalancer:post", project_id if isinstance(project_id, str) else None)


def _own_values(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    vips = body.pop("additional_vips", None)
    values = call.values(LOAD_BALANCER, body)
    if vips is not None:
        values["additional_vips"] = _additional_vips(vips, values.get("vip_subnet_id"))
    if values.get("project_id") in (None, ""):
        values["project_id"] = call.identity.project_id
    if values["project_id"] is None:
        raise InvalidInput("project_id", "is needed: the token is not scoped to a project")
    if all(values.get(name) is None for name in _VIP_SOURCES):
        raise InvalidInput("vip_subnet_id", f"one of {', '.join(_VIP_SOURCES)} is needed")
    return values


def _additional_vips(given: Any, first_subnet: Any) -> list[dict[str, Any]]:
    """Check the additional VIPs in a body: each must be in a subnet of its own. Raises InvalidInput."""
    subnets = {first_subnet.lower()} if isinstance(first_subnet, str) else set()
    vips = []
    for one in as_objects({"additional_vips": given}, "additional_vips"):
        if one.pop("port_id", None) is not None:
            raise InvalidInput("additional_vips.port_id", "cannot be chosen here; name subnet_id and ip_address")
        if not isinstance(one.get("subnet_id"), str):
            raise InvalidInput("additional_vips.subnet_id", "is needed: the id of a subnet")
        if one["subnet_id"].lower() in subnets:
            raise InvalidInput("additional_vips.subnet_id", "is named twice: there can be only one VIP in each subnet")
        subnets.add(one["subnet_id"].lower())
        vips.append({name: value for name, value in one.items() if value is not None})
    return vips


@router.get("/{load_balancer_id}", **shows(VIEW))
def show_load_balancer(call: Received, load_balancer_id: str) -> Response:
    """Show a load balancer."""
    return call.show_kind(LOAD_BALANCER, load_balancer_id)


@router.put("/{load_balancer_id}", **takes(shows(VIEW), VIEW.root, LoadBalancerSpec, VIEW, update=True))
def update_load_balancer(call: Received, load_balancer_id: str) -> Response:
    """Change the named attributes of a load balancer; null resets an attribute to its default."""
    return call.update_kind(LOAD_BALANCER, load_balancer_id)


@router.delete("/{load_balancer_id}", **gives(None, 204))
def delete_load_balancer(call: Received, load_balancer_id: str, cascade: str | None = None) -> Response:
    """Delete a load balancer. With ``cascade``, everything below it is deleted too; without, it must have no
    children."""
    return call.delete_kind(LOAD_BALANCER, load_balancer_id, cascade=is_true(cascade))


@router.put("/{load_balancer_id}/failover", **gives(None, 202))
def fail_load_balancer_over(call: Received, load_balancer_id: str) -> Response:
    """Fail a load balancer over: all of its amphorae are replaced."""
    return call.fail_over(KindName.LOAD_BALANCER, load_balancer_id)


@router.get("/{load_balancer_id}/stats", **gives(STATS))
def show_load_balancer_stats(call: Received, load_balancer_id: str) -> Response:
    """Show a load balancer's traffic counters, summed over its listeners. They are 0 until something has been
    reported."""
    call.authorize("loadbalancer:get_stats", call.project_of(LOAD_BALANCER, load_balancer_id))
    stats = call.context.database.read(lambda connection: read_load_balancer_stats(connection, load_balancer_id))
    return answer({"stats": stats})


@router.get("/{load_balancer_id}/statuses", include_in_schema=False)
@router.get(
    "/{load_balancer_id}/status",
    **gives({"type": "object", "properties": {"statuses": {"type": "object"}}, "required": ["statuses"]}),
)
def show_status_tree(call: Received, load_balancer_id: str) -> Response:
    """Show the statuses of a load balancer and everything below it."""
    call.authorize("loadbalancer:get_status", call.project_of(LOAD_BALANCER, load_balancer_id))
    tree = call.context.database.read(lambda connection: read_status_tree(connection, load_balancer_id))
    if tree is None:
        raise LBNotFound(load_balancer_id)
    return answer({"statuses": {"loadbalancer": tree}})
