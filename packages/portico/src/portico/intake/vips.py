"""The VIPs of a new load balancer: writes their rows, with the addresses that the user sees on acceptance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from portico.errors import AddressInUse, Conflict, Duplicate
from portico.intake.acceptance import Moved
from portico.ports.caller import Caller
from portico.ports.network import ATTRIBUTES, CheckRequest, Network, VipRequest
from portico.resources import LoadBalancerSpec, Vip
from portico.resources.address import canonical_or_none
from portico.resources.load_balancer import vip_address_columns
from portico.settings import ValidationSettings

PROPOSALS = 256
"""Addresses that the network may propose for each VIP before we give up. If 98 % of a range are in use, one load
balancer in 175 finds no address."""
_RACES = 32
"""How many times another load balancer may win an address that seemed free before we give up."""
_ADD = insert(Vip)

_Key = tuple[str, str]
"""A scope and an address in it. No two VIPs share both."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The request for the VIP at one position, and its address as the user spelled it."""

    request: VipRequest
    spelled: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    """The columns of a new VIP."""

    load_balancer_id: str
    position: int
    subnet_id: str | None
    network_id: str | None
    port_id: str | None
    address_scope: str | None
    ip_address: str | None
    canonical_address: str | None

    @property
    def key(self) -> _Key | None:
        """Scope and address; None if they are not known yet, so that no other VIP can have the same."""
        return _key(self.address_scope, self.canonical_address)


def check_changes(
    network: Network, changes: Mapping[str, object], settings: ValidationSettings, caller: Caller
) -> None:
    """Ask the network whether it accepts those changed attributes of a load balancer that concern it (``ATTRIBUTES``).

    Raises:
        InvalidInput: a value breaks a rule.
        InvalidInput, NotSupported, DriverUnavailable: as ``Network.check``.
    """
    named = {name: changes[name] for name in ATTRIBUTES if changes.get(name)}
    if named:
        spec = LoadBalancerSpec.parse(named, settings)
        _ask(network, CheckRequest((), spec.vip_qos_policy_id, tuple(spec.vip_sg_ids or ())), caller)


def _ask(network: Network, request: CheckRequest, caller: Caller) -> None:
    network.check(request, caller.shown(needs_token=network.traits.needs_token))


class NewVips:
    """Writes the VIPs of one new load balancer, over as many tries of its transaction as it needs.

    The database decides which load balancer gets an address. The first try writes the network's first proposals without
    checking that they are free, which costs one statement. If one was taken, the next try checks which of all proposals
    are free, which costs one more.
    """

    def __init__(self, network: Network, load_balancer_id: str, spec: LoadBalancerSpec) -> None:
        self._network = network
        self._load_balancer_id = load_balancer_id
        self._spec = spec
        self._wanted = _requests(load_balancer_id, spec)
        self._lost = 0

    def check(self, caller: Caller) -> None:
        """Ask the network whether it can provide the VIPs. Call this before the transaction: the network may have to
        look things up.

        Raises:
            InvalidInput, NotSupported, DriverUnavailable: as ``Network.check``.
        """
        vips = tuple(wanted.request for wanted in self._wanted)
        groups = tuple(self._spec.vip_sg_ids or ())
        _ask(self._network, CheckRequest(vips, self._spec.vip_qos_policy_id, groups), caller)

    def write(self, connection: Connection) -> None:
        """Write the rows.

        Raises:
            InvalidInput: an address does not belong to this network.
            Duplicate: an address that the user asked for is in use.
            Conflict: all addresses that the network could choose are in use.
            Moved: another load balancer has one of these addresses: the transaction must be started again.
        """
        taken = self._find_taken(connection) if self._lost else set()
        rows = []
        for wanted in self._wanted:
            rows.append(self._choose(wanted, taken))
            taken |= {rows[-1].key} - {None}
        try:
            connection.execute(_ADD, [asdict(row) for row in rows])
        except IntegrityError as error:
            self._lost += 1
            if self._lost > _RACES:
                raise Conflict("vip_address: other load balancers took every free address; try again") from error
            raise Moved(f"an address for load balancer {self._load_balancer_id} is already in use") from error

    def _choose(self, wanted: _Wanted, taken: set[_Key | None]) -> _Row:
        tried = 0
        for row in self._proposals(wanted):
            if row.key not in taken:
                return row
            tried += 1
        field = wanted.request.address_field
        if wanted.request.address is not None:
            raise Duplicate(f"{field}: this address is already used by another load balancer")
        raise Conflict(f"{field}: no address is free: the network proposed {tried}, and all are in use")

    def _proposals(self, wanted: _Wanted) -> Iterator[_Row]:
        """Yield the possible rows of a VIP: what the network proposes or, if it chooses only later, the request as it
        is."""
        request = wanted.request
        for attempt in range(PROPOSALS if request.address is None else 1):
            try:
                offer = self._network.propose_vip(replace(request, attempt=attempt))
            except AddressInUse:  # the network has no more to propose
                return
            source = offer or request
            yield _Row(
                request.load_balancer_id,
                request.position,
                subnet_id=source.subnet_id,
                network_id=source.network_id,
                port_id=source.port_id,
                address_scope=offer.scope if offer else None,
                **vip_address_columns(wanted.spelled or (offer.ip_address if offer else None)),
            )
            if offer is None:
                return

    def _find_taken(self, connection: Connection) -> set[_Key | None]:
        """Return which of all possible proposals are in use."""
        proposed = [row for wanted in self._wanted for row in self._proposals(wanted)]
        scopes = {row.address_scope for row in proposed} - {None}
        addresses = {row.canonical_address for row in proposed} - {None}
        statement = select(Vip.address_scope, Vip.canonical_address)
        statement = statement.where(Vip.address_scope.in_(scopes), Vip.canonical_address.in_(addresses))
        return {_key(scope, address) for scope, address in connection.execute(statement)}


def _requests(load_balancer_id: str, spec: LoadBalancerSpec) -> list[_Wanted]:
    first = VipRequest(
        load_balancer_id,
        address=canonical_or_none(spec.vip_address),
        subnet_id=spec.vip_subnet_id,
        network_id=spec.vip_network_id,
        port_id=spec.vip_port_id,
        qos_policy_id=spec.vip_qos_policy_id,
        security_group_ids=tuple(spec.vip_sg_ids or ()),
    )
    others = [
        _Wanted(
            VipRequest(
                load_balancer_id,
                position,
                canonical_or_none(vip.ip_address),
                vip.subnet_id,
                qos_policy_id=first.qos_policy_id,
                security_group_ids=first.security_group_ids,
            ),
            vip.ip_address,
        )
        for position, vip in enumerate(spec.additional_vips, start=1)
    ]
    return [_Wanted(first, spec.vip_address), *others]


def _key(scope: str | None, address: str | None) -> _Key | None:
    return (scope, address) if scope is not None and address is not None else None
