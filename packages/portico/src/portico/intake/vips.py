"""The VIPs of a new load balancer: their rows, with the addresses that its user is told when it is accepted."""

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
"""Addresses that the network proposes for each VIP before we give up: where 98 % of a range are taken, one load
balancer in 175 finds none."""
_RACES = 32
"""How often another load balancer may take the address that we saw to be free."""
_ADD = insert(Vip)

_Key = tuple[str, str]
"""What no two VIPs share: a scope and an address."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for at one position, and its address as it was spelled."""

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
        """None where nobody else can have the same: it is not known yet."""
        return _key(self.address_scope, self.canonical_address)


def check_changes(
    network: Network, changes: Mapping[str, object], settings: ValidationSettings, caller: Caller
) -> None:
    """Ask the network whether a load balancer may have these changed attributes (those of its network's among them).

    Raises:
        InvalidInput: a value is against a rule.
        InvalidInput, NotSupported, DriverUnavailable: as ``Network.check``.
    """
    named = {name: changes[name] for name in ATTRIBUTES if changes.get(name)}
    if named:
        spec = LoadBalancerSpec.parse(named, settings)
        _ask(network, CheckRequest((), spec.vip_qos_policy_id, tuple(spec.vip_sg_ids or ())), caller)


def _ask(network: Network, request: CheckRequest, caller: Caller) -> None:
    network.check(request, caller.shown(needs_token=network.traits.needs_token))


class NewVips:
    """Writes the VIPs of one new load balancer, in as many tries of its transaction as that takes.

    The database decides who has an address. The first try writes what the network proposes first and looks at nothing,
    which costs one statement; where that was taken, the next looks which of all proposals are free, which costs one
    more.
    """

    def __init__(self, network: Network, load_balancer_id: str, spec: LoadBalancerSpec) -> None:
        self._network = network
        self._load_balancer_id = load_balancer_id
        self._spec = spec
        self._wanted = _requests(load_balancer_id, spec)
        self._lost = 0

    def check(self, caller: Caller) -> None:
        """Ask the network whether they may be had, before the transaction: it may have to look things up.

        Raises:
            InvalidInput, NotSupported, DriverUnavailable: as ``Network.check``.
        """
        vips = tuple(wanted.request for wanted in self._wanted)
        groups = tuple(self._spec.vip_sg_ids or ())
        _ask(self._network, CheckRequest(vips, self._spec.vip_qos_policy_id, groups), caller)

    def write(self, connection: Connection) -> None:
        """Write the rows.

        Raises:
            InvalidInput: an address is not one of this network's.
            Duplicate: an address that was asked for is taken.
            Conflict: all that could be chosen are taken.
            Moved: somebody has one of these addresses: the transaction must be started again.
        """
        taken = self._look(connection) if self._lost else set()
        rows = []
        for wanted in self._wanted:
            rows.append(self._choose(wanted, taken))
            taken |= {rows[-1].key} - {None}
        try:
            connection.execute(_ADD, [asdict(row) for row in rows])
        except IntegrityError as error:
            self._lost += 1
            if self._lost > _RACES:
                raise Conflict("vip_address: others took each address that was free; try again") from error
            raise Moved(f"an address of load balancer {self._load_balancer_id} is taken") from error

    def _choose(self, wanted: _Wanted, taken: set[_Key | None]) -> _Row:
        tried = 0
        for row in self._proposals(wanted):
            if row.key not in taken:
                return row
            tried += 1
        field = wanted.request.address_field
        if wanted.request.address is not None:
            raise Duplicate(f"{field}: this address is already used by another load balancer")
        raise Conflict(f"{field}: no address is free: the network proposed {tried}, and all are taken")

    def _proposals(self, wanted: _Wanted) -> Iterator[_Row]:
        """The row as it could be: what the network proposes, or what is asked for where only the network can say."""
        request = wanted.request
        for attempt in range(PROPOSALS if request.address is None else 1):
            try:
                offer = self._network.propose_vip(replace(request, attempt=attempt))
            except AddressInUse:  # these were all that there are
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

    def _look(self, connection: Connection) -> set[_Key | None]:
        """Which of all that could be proposed are taken."""
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
