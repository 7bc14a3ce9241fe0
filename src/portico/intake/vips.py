"""The VIPs of a new load balancer: their rows, with the addresses that its user is told when it is accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from portico.errors import AddressInUse, Conflict, Duplicate
from portico.intake.acceptance import Moved
from portico.ports.caller import Caller
from portico.ports.network import ATTRIBUTES, CheckRequest, Network, VipRequest
from portico.resources import LoadBalancerSpec, Vip
from portico.resources.address import canonical_address
from portico.resources.load_balancer import vip_address_columns
from portico.settings import ValidationSettings

PROPOSALS = 256
"""Addresses that the network proposes for each VIP before we give up: where 98 % of a range are taken, one load
balancer in 175 finds none."""
_RACES = 32
"""How often another load balancer may take the address that we saw to be free."""
_ADD = insert(Vip)

_Key = tuple[str, str]
"""What no two VIPs share: a scope and an address."""


def check_changes(network: Network, changes: Mapping[str, Any], caller: Caller) -> None:
    """Ask the network whether a load balancer may have these changed attributes (those of its network's among them).

    Raises:
        InvalidInput, NotSupported, DriverUnavailable: as ``Network.check``.
    """
    policy, groups = (changes.get(name) for name in ATTRIBUTES)
    if policy or groups:
        network.check(CheckRequest((), policy, tuple(groups or ())), caller)


class NewVips:
    """Writes the VIPs of one new load balancer, in as many tries of its transaction as that takes.

    The database decides who has an address. The first try writes what the network proposes first and looks at nothing,
    which costs one statement; where that was taken, the next looks which of all proposals are free, which costs one
    more.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lost = 0

    def check(
        self, load_balancer_id: str, values: Mapping[str, Any], rules: ValidationSettings, caller: Caller
    ) -> None:
        """Ask the network whether its VIPs may be had, before the transaction: it may have to look things up.
        ``values`` are what a ``LoadBalancerSpec`` is made of.

        Raises:
            InvalidInput, NotSupported, DriverUnavailable: a value is against a rule, or as ``Network.check``.
        """
        fields = LoadBalancerSpec.parse(dict(values), rules).model_dump()
        wanted = _requests(load_balancer_id, fields)
        primary, _ = wanted[0]
        vips = tuple(request for request, _ in wanted)
        self._network.check(CheckRequest(vips, primary.qos_policy_id, primary.security_group_ids), caller)

    def write(self, connection: Connection, load_balancer_id: str, fields: Mapping[str, Any]) -> None:
        """Write the rows. ``fields`` are those of a ``LoadBalancerSpec``.

        Raises:
            InvalidInput: an address is not one of this network's.
            Duplicate: an address that was asked for is taken.
            Conflict: all that could be chosen are taken.
            Moved: somebody has one of these addresses: the transaction must be started again.
        """
        wanted = _requests(load_balancer_id, fields)
        taken = self._look(connection, wanted) if self._lost else set()
        rows = []
        for request, spelled in wanted:
            rows.append(self._choose(request, spelled, taken))
            taken |= {_key(rows[-1])} - {None}
        try:
            connection.execute(_ADD, rows)
        except IntegrityError as error:
            self._lost += 1
            if self._lost > _RACES:
                raise Conflict("vip_address: others took each address that was free; try again") from error
            raise Moved(f"an address of load balancer {load_balancer_id} is taken") from error

    def _choose(self, request: VipRequest, spelled: str | None, taken: set[_Key | None]) -> dict[str, Any]:
        tried = 0
        for row in self._proposals(request, spelled):
            if _key(row) not in taken:
                return row
            tried += 1
        if request.address is not None:
            raise Duplicate(f"{request.address_field}: this address is already used by another load balancer")
        raise Conflict(f"{request.address_field}: no address is free: the network proposed {tried}, and all are taken")

    def _proposals(self, request: VipRequest, spelled: str | None) -> Iterator[dict[str, Any]]:
        """The row as it could be: what the network offers, or what is asked for where only the network can say."""
        for attempt in range(PROPOSALS if request.address is None else 1):
            try:
                offer = self._network.offer_vip(replace(request, attempt=attempt))
            except AddressInUse:  # these were all that there are
                return
            source = offer or request
            yield {
                "load_balancer_id": request.load_balancer_id,
                "position": request.position,
                "subnet_id": source.subnet_id,
                "network_id": source.network_id,
                "port_id": source.port_id,
                "address_scope": offer.scope if offer else request.subnet_id,
                **vip_address_columns(spelled or (offer.ip_address if offer else None)),
            }
            if offer is None:
                return

    def _look(self, connection: Connection, wanted: Sequence[tuple[VipRequest, str | None]]) -> set[_Key | None]:
        """Which of all that could be proposed are taken."""
        proposed = [row for request, spelled in wanted for row in self._proposals(request, spelled)]
        scopes, addresses = (
            {row[name] for row in proposed} - {None} for name in ("address_scope", "canonical_address")
        )
        columns = (Vip.address_scope, Vip.canonical_address)
        statement = select(*columns).where(columns[0].in_(scopes), columns[1].in_(addresses))
        return {_key(dict(found)) for found in connection.execute(statement).mappings()}


def _requests(load_balancer_id: str, fields: Mapping[str, Any]) -> list[tuple[VipRequest, str | None]]:
    """What is asked for at each position, and the address as it was spelled."""
    policy = fields["vip_qos_policy_id"]
    groups = tuple(fields["vip_sg_ids"] or ())
    primary = {"ip_address": fields["vip_address"], "subnet_id": fields["vip_subnet_id"]}
    others = {"network_id": fields["vip_network_id"], "port_id": fields["vip_port_id"]}
    requests = []
    for position, vip in enumerate([{**primary, **others}, *fields["additional_vips"]]):
        spelled = vip["ip_address"]
        request = VipRequest(
            load_balancer_id,
            position,
            canonical_address(spelled) if spelled is not None else None,
            subnet_id=vip["subnet_id"],
            network_id=vip.get("network_id"),
            port_id=vip.get("port_id"),
            qos_policy_id=policy,
            security_group_ids=groups,
        )
        requests.append((request, spelled))
    return requests


def _key(row: Mapping[str, Any]) -> _Key | None:
    """None where nobody else can have the same: it is not known yet."""
    scope, address = row["address_scope"], row["canonical_address"]
    return (scope, address) if scope is not None and address is not None else None
