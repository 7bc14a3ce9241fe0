"""The VIPs of a new load balancer: their rows, with the addresses that its user is told when it is accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select, union_all
from sqlalchemy.exc import IntegrityError

from portico.errors import AddressInUse, Conflict, Duplicate, NotSupported
from portico.intake.acceptance import Moved
from portico.ports.network import Network, NetworkFeature, VipRequest
from portico.resources import Vip
from portico.resources.address import canonical_address
from portico.resources.load_balancer import vip_address_columns

PROPOSALS = 256
"""Addresses that the network proposes for each VIP before we give up: where 98 % of a range are taken, one load
balancer in 175 finds none."""
_RACES = 32
"""How often another load balancer may take the address that we saw to be free."""
_ADD = insert(Vip)

_Key = tuple[str | None, str]
"""What no two VIPs share: a subnet and an address, or None and an address of the host's own."""


def check_features(network: Network, values: Mapping[str, Any]) -> None:
    """Raises NotSupported where the attributes of a load balancer ask for what its network cannot do: what was taken
    would be ignored."""
    for feature in NetworkFeature:
        if values.get(feature) and feature not in network.features:
            raise NotSupported(feature.value, "cannot be done by the network that VIPs are in here")


class NewVips:
    """Writes the VIPs of one new load balancer, in as many tries of its transaction as that takes.

    The database decides who has an address. The first try writes what the network proposes first and looks at nothing,
    which costs one statement; where that was taken, the next looks which of all proposals are free, which costs one
    more.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lost = 0

    def write(self, connection: Connection, load_balancer_id: str, fields: Mapping[str, Any]) -> None:
        """Write the rows. ``fields`` are those of a ``LoadBalancerSpec``.

        Raises:
            InvalidInput: an address is not one of this network's.
            NotSupported: see ``check_features``.
            Duplicate: an address that was asked for is taken.
            Conflict: all that could be chosen are taken.
            Moved: somebody has one of these addresses: the transaction must be started again.
        """
        check_features(self._network, fields)
        wanted = _requests(load_balancer_id, fields)
        taken = self._look(connection, wanted) if self._lost else set()
        rows = []
        for request, spelled in wanted:
            rows.append(self._choose(request, spelled, taken))
            taken |= _keys(rows[-1])
        try:
            connection.execute(_ADD, rows)
        except IntegrityError as error:
            self._lost += 1
            if self._lost > _RACES:
                raise Conflict("vip_address: others took each address that was free; try again") from error
            raise Moved(f"an address of load balancer {load_balancer_id} is taken") from error

    def _choose(self, request: VipRequest, spelled: str | None, taken: set[_Key]) -> dict[str, Any]:
        tried = 0
        for row in self._proposals(request, spelled):
            if not _keys(row) & taken:
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
                **vip_address_columns(spelled or (offer.ip_address if offer else None)),
            }
            if offer is None:
                return

    def _look(self, connection: Connection, wanted: Sequence[tuple[VipRequest, str | None]]) -> set[_Key]:
        """Which of all that could be proposed are taken."""
        proposed = [row for request, spelled in wanted for row in self._proposals(request, spelled)]
        columns = (Vip.subnet_id, Vip.canonical_address, Vip.host_address)
        asked = []
        # Each by the unique index that it has.
        for names in (("subnet_id", "canonical_address"), ("host_address",)):
            values = {name: {row[name] for row in proposed} - {None} for name in names}
            conditions = (getattr(Vip, name).in_(values[name]) for name in names)
            asked.append(select(*columns).where(*conditions))
        found = connection.execute(union_all(*asked)).mappings()
        return {key for row in found for key in _keys(dict(row))}


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


def _keys(row: Mapping[str, Any]) -> set[_Key]:
    keys: set[_Key] = set()
    if row["canonical_address"] is not None and row["subnet_id"] is not None:
        keys.add((row["subnet_id"], row["canonical_address"]))
    if row["host_address"] is not None:
        keys.add((None, row["host_address"]))
    return keys
