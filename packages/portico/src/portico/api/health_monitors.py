"""Health monitors."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows, takes
from portico.api.listeners import take_id
from portico.resources import HealthMonitorSpec
from portico.resources.health_monitor import HEALTH_MONITOR_VIEW as VIEW
from portico.resources.kinds import HEALTH_MONITOR, POOL

router = APIRouter(prefix="/v2.0/lbaas/healthmonitors", tags=["health monitors"])


@router.get("", **lists(VIEW))
def list_health_monitors(call: Received) -> Response:
    """List all health monitors that the caller may see."""
    return call.list_kind(HEALTH_MONITOR)


@router.post(
    "",
    **takes(
        shows(VIEW, 201),
        VIEW.root,
        HealthMonitorSpec,
        VIEW,
        more={"pool_id": {"type": "string"}},
        needed=("pool_id",),
    ),
)
def create_health_monitor(call: Received) -> Response:
    """Create the health monitor of a pool."""
    body = call.object_before_authorization(VIEW.root, "healthmonitor:post")
    pool_id = take_id(body, "pool_id")
    call.authorize_part(HEALTH_MONITOR, POOL, pool_id)
    return call.create_part(HEALTH_MONITOR, pool_id, body)


@router.get("/{health_monitor_id}", **shows(VIEW))
def show_health_monitor(call: Received, health_monitor_id: str) -> Response:
    """Show a health monitor."""
    return call.show_kind(HEALTH_MONITOR, health_monitor_id)


@router.put("/{health_monitor_id}", **takes(shows(VIEW), VIEW.root, HealthMonitorSpec, VIEW, update=True))
def update_health_monitor(call: Received, health_monitor_id: str) -> Response:
    """Change the named attributes of a health monitor; null resets an attribute to its default."""
    return call.update_kind(HEALTH_MONITOR, health_monitor_id)


@router.delete("/{health_monitor_id}", **gives(None, 204))
def delete_health_monitor(call: Received, health_monitor_id: str) -> Response:
    """Delete a health monitor."""
    return call.delete_kind(HEALTH_MONITOR, health_monitor_id)
