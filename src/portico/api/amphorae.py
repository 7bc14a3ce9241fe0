"""Amphorae: for operators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Received
from portico.api.documentation import gives, lists, shows
from portico.api.faults import answer
from portico.errors import NotFound, NotSupported
from portico.resources.amphora import AMPHORA_VIEW as VIEW
from portico.store.counters import read_amphora_stats

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
def show_amphora_stats(call: Received, amphora_id: str) -> Response:
    """Traffic counters of each listener that it has served; 404 before any was reported."""
    call.find("amphora", amphora_id)
    call.authorize("amphora:get_stats", None)
    stats = call.context.database.read(lambda connection: read_amphora_stats(connection, amphora_id))
    if not stats:
        raise StatisticsNotFound(amphora_id)
    return answer({"amphora_stats": stats})


@router.put("/{amphora_id}/failover", **gives(None, 202))
def fail_amphora_over(call: Received, amphora_id: str) -> Response:
    """Have an amphora replaced."""
    return call.fail_over("amphora", amphora_id)


@router.put("/{amphora_id}/config", **gives(None, 202))
def configure_amphora(call: Received, amphora_id: str) -> Any:
    """Have an amphora's agent take new settings: not done yet, the agent reads its settings when it starts."""
    call.find("amphora", amphora_id)
    call.authorize("amphora:put_config", None)
    raise NotSupported("config", "agents read their settings when they start; changing them from here is not built yet")


@router.delete("/{amphora_id}", **gives(None, 204))
def delete_amphora(call: Received, amphora_id: str) -> Response:
    """Delete a spare amphora, or a broken one that belongs to nobody."""
    return call.delete_kind("amphora", amphora_id)
