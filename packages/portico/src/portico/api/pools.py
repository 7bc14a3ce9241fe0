"""Pools."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows, takes
from portico.api.listeners import take_id
from portico.errors import InvalidInput
from portico.resources import PoolSpec
from portico.resources.kinds import LISTENER, LOAD_BALANCER, POOL
from portico.resources.pool import POOL_VIEW as VIEW

router = APIRouter(prefix="/v2.0/lbaas/pools", tags=["pools"])

_PARENT = {"type": ["string", "null"]}


@router.get("", **lists(VIEW))
def list_pools(call: Received) -> Response:
    """List all pools that the caller may see."""
    return call.list_kind(POOL)


@router.post(
    "",
    **takes(shows(VIEW, 201), VIEW.root, PoolSpec, VIEW, more={"loadbalancer_id": _PARENT, "listener_id": _PARENT}),
)
def create_pool(call: Received) -> Response:
    """Create a pool of a load balancer, or the default pool of a listener."""
    body = call.object_before_authorization(VIEW.root, "pool:post")
    listener_id = take_id(body, "listener_id") if body.get("listener_id") is not None else None
    body.pop("listener_id", None)
    if listener_id is None:
        load_balancer_id = take_id(body, "loadbalancer_id", "listener_id")
        call.authorize_part(POOL, LOAD_BALANCER, load_balancer_id)
        return call.create_part(POOL, load_balancer_id, body)
    listener = call.find(LISTENER, listener_id, fields=frozenset({"project_id", "loadbalancers"}))
    call.authorize("pool:post", listener["project_id"])
    [of_listener] = listener["loadbalancers"]
    load_balancer_id = body.pop("loadbalancer_id", None) or of_listener["id"]
    if load_balancer_id != of_listener["id"]:
        raise InvalidInput("listener_id", f"listener {listener_id} belongs to another load balancer")
    return call.create_part(POOL, load_balancer_id, body, listener_id)


@router.get("/{pool_id}", **shows(VIEW))
def show_pool(call: Received, pool_id: str) -> Response:
    """Show a pool."""
    return call.show_kind(POOL, pool_id)


@router.put("/{pool_id}", **takes(shows(VIEW), VIEW.root, PoolSpec, VIEW, update=True))
def update_pool(call: Received, pool_id: str) -> Response:
    """Change the named attributes of a pool; null resets an attribute to its default."""
    return call.update_kind(POOL, pool_id)


@router.delete("/{pool_id}", **gives(None, 204))
def delete_pool(call: Received, pool_id: str) -> Response:
    """Delete a pool with its members and its health monitor."""
    return call.delete_kind(POOL, pool_id)
