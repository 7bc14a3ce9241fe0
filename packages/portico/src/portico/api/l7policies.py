"""L7 policies and their rules."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows, takes
from portico.api.listeners import take_id
from portico.resources import L7PolicySpec, L7RuleSpec
from portico.resources.kinds import L7POLICY, L7RULE, LISTENER
from portico.resources.l7policy import L7POLICY_VIEW as VIEW
from portico.resources.l7rule import L7RULE_VIEW as RULE_VIEW

router = APIRouter(prefix="/v2.0/lbaas/l7policies", tags=["L7 policies"])


@router.get("", **lists(VIEW))
def list_l7policies(call: Received) -> Response:
    """List all L7 policies that the caller may see."""
    return call.list_kind(L7POLICY)


@router.post(
    "",
    **takes(
        shows(VIEW, 201),
        VIEW.root,
        L7PolicySpec,
        VIEW,
        more={"listener_id": {"type": "string"}},
        needed=("listener_id",),
    ),
)
def create_l7policy(call: Received) -> Response:
    """Create an L7 policy of a listener. If its position is taken, the policies from there on move down."""
    body = call.object_before_authorization(VIEW.root, "l7policy:post")
    listener_id = take_id(body, "listener_id")
    call.authorize_part(L7POLICY, LISTENER, listener_id)
    return call.create_part(L7POLICY, listener_id, body)


@router.get("/{l7policy_id}", **shows(VIEW))
def show_l7policy(call: Received, l7policy_id: str) -> Response:
    """Show an L7 policy."""
    return call.show_kind(L7POLICY, l7policy_id)


@router.put("/{l7policy_id}", **takes(shows(VIEW), VIEW.root, L7PolicySpec, VIEW, update=True))
def update_l7policy(call: Received, l7policy_id: str) -> Response:
    """Change the named attributes of an L7 policy; null resets an attribute to its default."""
    return call.update_kind(L7POLICY, l7policy_id)


@router.delete("/{l7policy_id}", **gives(None, 204))
def delete_l7policy(call: Received, l7policy_id: str) -> Response:
    """Delete an L7 policy with its rules."""
    return call.delete_kind(L7POLICY, l7policy_id)


@router.get("/{l7policy_id}/rules", **lists(RULE_VIEW))
def list_l7rules(call: Received, l7policy_id: str) -> Response:
    """List all rules of an L7 policy."""
    return call.list_parts(L7RULE, L7POLICY, l7policy_id)


@router.post("/{l7policy_id}/rules", **takes(shows(RULE_VIEW, 201), RULE_VIEW.root, L7RuleSpec, RULE_VIEW))
def create_l7rule(call: Received, l7policy_id: str) -> Response:
    """Create a rule of an L7 policy."""
    call.authorize_part(L7RULE, L7POLICY, l7policy_id)
    return call.create_part(L7RULE, l7policy_id, call.object(RULE_VIEW.root))


@router.get("/{l7policy_id}/rules/{rule_id}", **shows(RULE_VIEW))
def show_l7rule(call: Received, l7policy_id: str, rule_id: str) -> Response:
    """Show an L7 rule."""
    return call.show_kind(L7RULE, rule_id, {"l7policy_id": l7policy_id})


@router.put(
    "/{l7policy_id}/rules/{rule_id}", **takes(shows(RULE_VIEW), RULE_VIEW.root, L7RuleSpec, RULE_VIEW, update=True)
)
def update_l7rule(call: Received, l7policy_id: str, rule_id: str) -> Response:
    """Change the named attributes of an L7 rule; null resets an attribute to its default."""
    return call.update_kind(L7RULE, rule_id, {"l7policy_id": l7policy_id})


@router.delete("/{l7policy_id}/rules/{rule_id}", **gives(None, 204))
def delete_l7rule(call: Received, l7policy_id: str, rule_id: str) -> Response:
    """Delete an L7 rule."""
    return call.delete_kind(L7RULE, rule_id, {"l7policy_id": l7policy_id})
