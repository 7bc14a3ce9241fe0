"""Version discovery: what clients read first."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portico.api.documentation import gives
from portico.api.faults import answer
from portico.api.queries import base_url

NEWEST_MINOR = 22
"""The newest minor version whose features all work, except TLS and SOURCE_IP_PORT. Clients and test suites use the
highest version to decide which features they can use. 2.5 added tags, 2.6 flavors, 2.7 the configuring of amphorae,
2.12 allowed CIDRs, 2.14 availability zones, 2.19 quotas of L7 objects, 2.21 the deleting of amphorae, 2.22 PROXYV2;
2.23 is SCTP. The additional VIPs of 2.26 work too."""
_UPDATED = "2026-11-23T00:00:00Z"

router = APIRouter(tags=["versions"])

_VERSIONS = {"type": "object", "properties": {"versions": {"type": "array"}}, "required": ["versions"]}


@router.get("/", **gives(_VERSIONS))
@router.get("/v2.0", **gives(_VERSIONS))
async def list_versions(request: Request) -> Response:
    """List the versions of the API. All versions have the same address. This needs no authentication."""
    href = f"{base_url(request)}/v2"
    versions = [
        {
            "id": f"v2.{minor}",
            "status": "CURRENT" if minor == NEWEST_MINOR else "SUPPORTED",
            "updated": _UPDATED,
            "links": [{"rel": "self", "href": href}],
        }
        for minor in range(NEWEST_MINOR + 1)
    ]
    return answer({"versions": versions})
