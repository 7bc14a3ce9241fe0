"""Members: the servers of a pool."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows, takes
from portico.api.queries import is_true
from portico.errors import InvalidInput
from portico.resources import MemberSpec
from portico.resources.kinds import MEMBER, POOL
from portico.resources.member import MEMBER_VIEW as VIEW

router = APIRouter(prefix="/v2.0/lbaas/pools/{pool_id}/members", tags=["members"])


_SRIOV = {"request_sriov": {"type": ["boolean", "null"], "description": "Only false: no flavor allows it."}}


def _refuse_sriov(body: dict[str, Any]) -> None:
    """Take ``request_sriov`` out of the body of a member, and refuse it if it is set: no flavor here gives members a
    port of their own."""
    if body.pop("request_sriov", None) not in (None, False):
        raise InvalidInput("request_sriov", "the flavor of the load balancer does not allow SR-IOV member ports")


@router.get("", **lists(VIEW))
def list_members(call: Received, pool_id: str) -> Response:
    """List all members of a pool."""
    return call.list_parts(MEMBER, POOL, pool_id)


@router.post("", **takes(shows(VIEW, 201), VIEW.root, MemberSpec, VIEW, more=_SRIOV))
def create_member(call: Received, pool_id: str) -> Response:
    """Create a member."""
    call.authorize_part(MEMBER, POOL, pool_id)
    body = call.object(VIEW.root)
    _refuse_sriov(body)
    return call.create_part(MEMBER, pool_id, body)


@router.put("", **takes(gives(None, 202), VIEW.collection, MemberSpec, VIEW, more=_SRIOV, many=True))
def replace_members(call: Received, pool_id: str, additive_only: str | None = None) -> Response:
    """Replace the members of a pool. New members are added, members with the same address and port are changed if they
    differ, and all others are deleted unless ``additive_only`` is set."""
    call.authorize("member:put", call.project_of(POOL, pool_id))
    given = call.root(VIEW.collection)
    most = call.context.settings.validation.max_members
    if isinstance(given, list) and len(given) > most:
        raise InvalidInput(VIEW.collection, f"must not be more than {most}, the most allowed in a load balancer here")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise InvalidInput(VIEW.collection, "must be a list of objects")
    members: list[dict[str, Any]] = []
    for one in given:
        _refuse_sriov(one)
        values = call.values(MEMBER, one)
        values.pop("project_id", None)
        members.append(values)
    call.context.requests.replace_members(
        pool_id, members, additive_only=is_true(additive_only), request_id=call.request_id
    )
    return Response(status_code=202)


@router.get("/{member_id}", **shows(VIEW))
def show_member(call: Received, pool_id: str, member_id: str) -> Response:
    """Show a member."""
    return call.show_kind(MEMBER, member_id, {"pool_id": pool_id})


@router.put("/{member_id}", **takes(shows(VIEW), VIEW.root, MemberSpec, VIEW, update=True))
def update_member(call: Received, pool_id: str, member_id: str) -> Response:
    """Change the named attributes of a member; null resets an attribute to its default."""
    return call.update_kind(MEMBER, member_id, {"pool_id": pool_id})


@router.delete("/{member_id}", **gives(None, 204))
def delete_member(call: Received, pool_id: str, member_id: str) -> Response:
    """Delete a member."""
    return call.delete_kind(MEMBER, member_id, {"pool_id": pool_id})
