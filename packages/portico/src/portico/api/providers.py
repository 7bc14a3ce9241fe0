"""Providers, and the options that their flavor profiles and availability zone profiles can set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Call, Received
from portico.api.documentation import gives
from portico.api.faults import answer
from portico.api.queries import cut, parse_fields
from portico.errors import InvalidInput
from portico.resources.availability_zone import ZONE_CAPABILITIES
from portico.resources.flavor import FLAVOR_CAPABILITIES
from portico.resources.offer import PROVIDERS

router = APIRouter(prefix="/v2.0/lbaas/providers", tags=["providers"])

Capabilities = Mapping[str, tuple[str, tuple[str, ...]]]
_NAMED = {"type": "object", "properties": {"name": {"type": "string"}, "description": {"type": "string"}}}


def _collection(key: str) -> dict[str, Any]:
    return gives({"type": "object", "properties": {key: {"type": "array", "items": _NAMED}}, "required": [key]})


def _named(call: Call, key: str, described: Mapping[str, str]) -> Response:
    """Answer with names and their descriptions, filtered by the query string."""
    parameters = call.request.query_params
    found = [{"name": name, "description": text} for name, text in described.items()]
    for field in ("name", "description"):
        wanted = parameters.getlist(field)
        found = [one for one in found if not wanted or one[field] in wanted]
    fields = parse_fields(parameters)
    return answer({key: [cut(dict(one), fields) for one in found], f"{key}_links": []})


@router.get("", **_collection("providers"))
def list_providers(call: Received) -> Response:
    """List the providers that load balancers can name."""
    call.authorize("provider:get_all", call.identity.project_id)
    return _named(call, "providers", PROVIDERS)


@router.get("/{provider}/flavor_capabilities", **_collection("flavor_capabilities"))
def list_flavor_capabilities(call: Received, provider: str) -> Response:
    """List the options that a flavor profile can set."""
    call.authorize("provider-flavor:get_all", None)
    return _capabilities(call, provider, "flavor_capabilities", FLAVOR_CAPABILITIES)


@router.get("/{provider}/availability_zone_capabilities", **_collection("availability_zone_capabilities"))
def list_zone_capabilities(call: Received, provider: str) -> Response:
    """List the options that an availability zone profile can set."""
    call.authorize("provider-availability-zone:get_all", None)
    return _capabilities(call, provider, "availability_zone_capabilities", ZONE_CAPABILITIES)


def _capabilities(call: Call, provider: str, key: str, capabilities: Capabilities) -> Response:
    if provider not in PROVIDERS:
        raise InvalidInput("provider", f"must be one of {', '.join(PROVIDERS)}")
    return _named(call, key, {name: text for name, (text, _values) in capabilities.items()})
