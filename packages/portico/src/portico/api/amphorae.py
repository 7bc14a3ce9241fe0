"""Amphorae, for operators. Other callers are refused before anything is looked up, so they cannot find out which
amphorae exist."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows
from portico.api.faults import answer
from portico.errors import NotFound
from portico.resources.amphora import AMPHORA_VIEW as VIEW
from portico.resources.kinds import AMPHORA, KindName
from portico.store.reads.counters import read_amphora_stats

router = APIRouter(prefix="/v2.0/octavia/amphorae", tags=["amphorae"])


class StatisticsNotFound(NotFound):
    """The amphora has not reported any counters."""

    kind = "statistics of amphora"


@router.get("", **lists(VIEW))
def list_amphorae(call: Received) -> Response:
    """List all amphorae."""
    call.authorize("amphora:get_all", None)
    return call.list_view(VIEW, {})


@router.get("/{amphora_id}", **shows(VIEW))
def show_amphora(call: Received, amphora_id: str) -> Response:
    """Show an amphora."""
    call.authorize("amphora:get_one", None)
    return call.show_kind(AMPHORA, amphora_id)


@router.get("/{amphora_id}/stats", **gives({"type": "object", "properties": {"amphora_stats": {"type": "array"}}}))
def show_amphora_stats(call: Received, amphora_id: str) -> Response:
    """Show the traffic counters of each listener that the amphora has served; 404 if it has not reported any yet."""
    call.authorize("amphora:get_stats", None)
    call.find(AMPHORA, amphora_id)
    stats = call.context.database.read(lambda connection: read_amphora_stats(connection, amphora_id))
    if not stats:
        raise StatisticsNotFound(amphora_id)
    return answer({"amphora_stats": stats})


@router.put("/{amphora_id}/failover", **gives(None, 202))
def fail_amphora_over(call: Received, amphora_id: str) -> Response:
    """Fail an amphora over: it is replaced with a new one."""
    call.authorize("amphora:put_failover", None)
    return call.fail_over(KindName.AMPHORA, amphora_id)


@router.put("/{amphora_id}/config", **gives(None, 202))
def configure_amphora(call: Received, amphora_id: str) -> Response:
    """Push an amphora's whole configuration to it again, rendered with the controller's current settings. A spare has
    no configuration: it gets one when a load balancer takes it."""
    call.authorize("amphora:put_config", None)
    amphora = call.find(AMPHORA, amphora_id)
    if amphora["loadbalancer_id"] is not None:
        call.context.requests.configure(amphora["loadbalancer_id"], request_id=call.request_id)
    return Response(status_code=202)


@router.delete("/{amphora_id}", **gives(None, 204))
def delete_amphora(call: Received, amphora_id: str) -> Response:
    """Delete a spare amphora, or a broken amphora that belongs to no load balancer."""
    call.authorize("amphora:delete", None)
    return call.delete_kind(AMPHORA, amphora_id)
