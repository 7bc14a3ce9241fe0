"""Amphorae: for operators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows
from portico.errors import NotFound
from portico.resources.amphora import AMPHORA_VIEW as VIEW

router = APIRouter(prefix="/v2.0/octavia/amphorae", tags=["amphorae"])


class StatisticsNotFound(NotFound):
    """The amphora has not reported any counters."""

    kind = "statistics of amphora"


@router.get("", **lists(VIEW))
def list_amphorae(call: Received) -> Response:
    """All amphorae."""
    return call.list_kind("amphora")


@router.get("/{amphora_id}", **shows(VIEW))
def show_amphora(call: Received, amphora_id: str) -> Response:
    """One amphora."""
    return call.show_kind("amphora", amphora_id)


@router.get("/{amphora_id}/stats", **gives({"type": "object", "properties": {"amphora_stats": {"type": "array"}}}))
def show_amphora_stats(call: Received, amphora_id: str) -> Any:
    """Traffic counters of each listener; 404 before any was reported, and today's amphorae do not report any."""
    call.find("amphora", amphora_id)
    call.authorize("amphora:get_stats", None)
    raise StatisticsNotFound(amphora_id)


@router.put("/{amphora_id}/failover", **gives(None, 202))
def fail_amphora_over(call: Received, amphora_id: str) -> Response:
    """Have an amphora replaced."""
    return call.fail_over("amphora", amphora_id)


@router.put("/{amphora_id}/config", **gives(None, 202))
def configure_amphora(call: Received, amphora_id: str) -> Response:
    """Have an amphora take its whole configuration anew, as the controller's settings of today make it. A spare has
    none: it gets its own when a load balancer takes it."""
    amphora = call.find("amphora", amphora_id)
    call.authorize("amphora:put_config", None)
    if amphora["loadbalancer_id"] is not None:
        call.context.requests.configure(amphora["loadbalancer_id"], request_id=call.request_id)
    return Response(status_code=202)


@router.delete("/{amphora_id}", **gives(None, 204))
def delete_amphora(call: Received, amphora_id: str) -> Response:
    """Delete a spare amphora, or a broken one that belongs to nobody."""
    return call.delete_kind("amphora", amphora_id)
