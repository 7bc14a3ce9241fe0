"""A small part of Neutron's API, for deployments without Neutron. The command line and Ansible need it: they look up a
VIP's subnet, network or port before they name it, and its floating IPs afterwards.

In such a deployment VIPs come from the network driver's own range, whatever the request names. So there is one network
with one subnet, and any other UUID is accepted as well.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.call import Call, Received
from portico.api.faults import answer
from portico.errors import NotFound
from portico.ports.network import NETWORK_ID, SUBNET_ID

router = APIRouter(prefix="/v2.0", include_in_schema=False)

NAME = "portico"


@router.get("/networks")
def list_networks(call: Received) -> Response:
    """List the one network, or the network with the id in the query."""
    return _find(call, "networks", NETWORK_ID)


@router.get("/subnets")
def list_subnets(call: Received) -> Response:
    """List the one subnet, or the subnet with the id in the query."""
    return _find(call, "subnets", SUBNET_ID)


@router.get("/ports")
def list_ports(call: Received) -> Response:
    """List no port, or the port with the id in the query."""
    return _find(call, "ports", None)


@router.get("/floatingips")
def list_floating_ips(_call: Received) -> Response:
    """List no floating IP: there is no external network."""
    return answer({"floatingips": []})


@router.get("/networks/{network_id}")
def show_network(_call: Received, network_id: str) -> Response:
    """Show the network with this id."""
    return _show("network", network_id, NETWORK_ID)


@router.get("/subnets/{subnet_id}")
def show_subnet(_call: Received, subnet_id: str) -> Response:
    """Show the subnet with this id."""
    return _show("subnet", subnet_id, SUBNET_ID)


@router.get("/ports/{port_id}")
def show_port(_call: Received, port_id: str) -> Response:
    """Show the port with this id."""
    return _show("port", port_id, None)


class _UnknownId(NotFound):
    kind = "network, subnet or port"


def _show(kind: str, wanted: str, own_id: str | None) -> Response:
    if not _is_uuid(wanted):
        raise _UnknownId(wanted)
    return answer({kind: {"id": wanted, "name": NAME if wanted == own_id else ""}})


def _find(call: Call, kind: str, own_id: str | None) -> Response:
    parameters = call.request.query_params
    wanted, name = parameters.get("id"), parameters.get("name")
    found = [{"id": own_id, "name": NAME}] if own_id else []
    if wanted is not None and wanted != own_id:
        found = [{"id": wanted, "name": ""}] if _is_uuid(wanted) else []
    return answer({kind: [one for one in found if name in (None, one["name"])]})


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
