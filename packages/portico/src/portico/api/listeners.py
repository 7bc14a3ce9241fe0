"""Listeners."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows, takes
from portico.api.faults import answer
from portico.api.load_balancers import STATS
from portico.errors import InvalidInput
from portico.resources import ListenerSpec
from portico.resources.kinds import LISTENER, LOAD_BALANCER
from portico.resources.listener import LISTENER_VIEW as VIEW
from portico.store.reads.counters import read_listener_stats

router = APIRouter(prefix="/v2.0/lbaas/listeners", tags=["listeners"])


def take_id(body: dict[str, Any], *names: str) -> str:
    """Take the id of the parent out of the body that describes its child.

    Raises:
        InvalidInput: none of ``names`` is set, or the value is not text.
    """
    given = {name: body.pop(name) for name in names if name in body}
    for name, value in given.items():
        if value is not None:
            if not isinstance(value, str):
                raise InvalidInput(name, "must be the id of an object: a UUID as text")
            return value
    raise InvalidInput(names[0], "is needed")


@router.get("", **lists(VIEW))
def list_listeners(call: Received) -> Response:
    """List all listeners that the caller may see."""
    return call.list_kind(LISTENER)


@router.post(
    "",
    **takes(
        shows(VIEW, 201),
        VIEW.root,
        ListenerSpec,
        VIEW,
        more={"loadbalancer_id": {"type": "string"}},
        needed=("loadbalancer_id",),
    ),
)
def create_listener(call: Received) -> Response:
    """Create a listener."""
    body = call.object_before_authorization(VIEW.root, "listener:post")
    load_balancer_id = take_id(body, "loadbalancer_id")
    call.authorize_part(LISTENER, LOAD_BALANCER, load_balancer_id)
    return call.create_part(LISTENER, load_balancer_id, body)


@router.get("/{listener_id}", **shows(VIEW))
def show_listener(call: Received, listener_id: str) -> Response:
    """Show a listener."""
    return call.show_kind(LISTENER, listener_id)


@router.put("/{listener_id}", **takes(shows(VIEW), VIEW.root, ListenerSpec, VIEW, update=True))
def update_listener(call: Received, listener_id: str) -> Response:
    """Change the named attributes of a listener; null resets an attribute to its default."""
    return call.update_kind(LISTENER, listener_id)


@router.delete("/{listener_id}", **gives(None, 204))
def delete_listener(call: Received, listener_id: str) -> Response:
    """Delete a listener with its L7 policies."""
    return call.delete_kind(LISTENER, listener_id)


@router.get("/{listener_id}/stats", **gives(STATS))
def show_listener_stats(call: Received, listener_id: str) -> Response:
    """Show a listener's traffic counters, summed over all amphorae that ever served it. They are 0 until something has
    been reported."""
    call.authorize("listener:get_stats", call.project_of(LISTENER, listener_id))
    stats = call.context.database.read(lambda connection: read_listener_stats(connection, listener_id))
    return answer({"stats": stats})
