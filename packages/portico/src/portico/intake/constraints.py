"""Constraints between objects: rules that cannot be checked on one object alone. Each is checked in the transaction
that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from sqlalchemy import ColumnElement, Connection, FromClause, ScalarSelect, exists, func, or_, select

from portico.errors import Conflict, Duplicate, InvalidInput, PoolNotFound
from portico.resources import (
    AvailabilityZone,
    AvailabilityZoneProfile,
    Flavor,
    FlavorProfile,
    L7Policy,
    L7Rule,
    Listener,
    Pool,
    Vip,
)
from portico.resources.kinds import L7POLICY, L7RULE, LISTENER, MEMBER, POOL, Kind
from portico.resources.l7rule import MAX_RULES, Comparison
from portico.resources.pool import BY_COOKIE, CARRIED_BY, SHOWS_COOKIES, cookies_unseen
from portico.resources.row import table_of
from portico.settings import ValidationSettings
from portico.status import ProvisioningStatus

_UDP = ("UDP", "SCTP")
_MOST: Mapping[Kind, tuple[str, str, str]] = {
    LISTENER: ("load balancer", "listeners", "max_listeners"),
    POOL: ("load balancer", "pools", "max_pools"),
    MEMBER: ("load balancer", "members", "max_members"),
    L7POLICY: ("listener", "L7 policies", "max_l7policies"),
}
"""Kind to its limit: the object that has the limit and the objects that are counted, as messages name them, and the
setting."""


def choose_provider(
    connection: Connection, provider: str | None, flavor_id: str | None, availability_zone: str | None
) -> str | None:
    """Check that a load balancer's flavor and zone exist, are enabled and belong to its provider. Return the provider:
    if none is named, that of the flavor or the zone; None if these are not named either."""
    offers = []
    if flavor_id is not None:
        flavor = select(FlavorProfile.provider_name).join(Flavor, Flavor.flavor_profile_id == FlavorProfile.id)
        offers.append(("flavor_id", "flavor", flavor_id, flavor.where(Flavor.id == flavor_id, Flavor.enabled)))
    if availability_zone is not None:
        profile = AvailabilityZone.availability_zone_profile_id == AvailabilityZoneProfile.id
        zone = select(AvailabilityZoneProfile.provider_name).join(AvailabilityZone, profile)
        zone = zone.where(AvailabilityZone.name == availability_zone, AvailabilityZone.enabled)
        offers.append(("availability_zone", "availability zone", availability_zone, zone))
    for field, kind, wanted, statement in offers:
        offered_by = connection.scalar(statement)
        if offered_by is None:
            raise InvalidInput(field, f"there is no enabled {kind} {wanted!r}")
        if provider not in (None, offered_by):
            raise InvalidInput(field, f"{kind} {wanted!r} is not compatible with provider {provider!r}")
        provider = offered_by
    return provider


def check_childless(connection: Connection, load_balancer_id: str) -> None:
    """Refuse a load balancer that has listeners or pools, other than those that are already being deleted."""
    staying = [
        exists().where(
            model.load_balancer_id == load_balancer_id,
            model.provisioning_status != ProvisioningStatus.PENDING_DELETE,
        )
        for model in (Listener, Pool)
    ]
    if connection.scalar(select(or_(*staying))):
        raise InvalidInput("cascade", f"load balancer {load_balancer_id} cannot be deleted: it has children")


def check_new_listener(connection: Connection, load_balancer_id: str, protocol_port: int, protocol: str) -> None:
    """Refuse a port that belongs to another listener. ``check_listener`` checks the rest."""
    ports = select(Listener.protocol_port, Listener.protocol).where(Listener.load_balancer_id == load_balancer_id)
    for port, other in connection.execute(ports):
        is_shared = other != protocol and (other in _UDP or protocol in _UDP)
        if port == protocol_port and not is_shared:
            raise Duplicate(f"protocol_port: port {port} is already used by another listener")


def check_listener(
    connection: Connection,
    load_balancer_id: str,
    protocol: str,
    default_pool_id: str | None,
    allowed_cidrs: Sequence[str] | None,
) -> None:
    """Check that the allowed networks fit the VIPs, and that the default pool belongs to the same load balancer and has
    a compatible protocol."""
    if allowed_cidrs:
        _check_cidrs(connection, load_balancer_id, allowed_cidrs)
    if default_pool_id is not None:
        _check_pool(connection, "default_pool_id", default_pool_id, load_balancer_id, protocol)


def _check_cidrs(connection: Connection, load_balancer_id: str, cidrs: Sequence[str]) -> None:
    """Check that each allowed network has the IP version of one of the VIPs, unless a VIP has no address yet."""
    addresses = connection.scalars(select(Vip.ip_address).where(Vip.load_balancer_id == load_balancer_id)).all()
    versions = {ip_address(address).version for address in addresses if address is not None}
    for cidr in cidrs:
        if None not in addresses and ip_network(cidr, strict=False).version not in versions:
            known = ", ".join(str(address) for address in addresses)
            raise InvalidInput("allowed_cidrs", f"{cidr} does not have the IP version of any VIP ({known})")


def check_expression_count(
    connection: Connection, l7policy_id: str, compare_type: str, settings: ValidationSettings
) -> None:
    """Check that one more rule with this ``compare_type`` is allowed: a listener has at most
    ``max_regular_expressions`` rules with REGEX."""
    if compare_type != Comparison.REGEX:
        return
    listener = select(L7Policy.listener_id).where(L7Policy.id == l7policy_id).scalar_subquery()
    policies = select(L7Policy.id).where(L7Policy.listener_id == listener)
    counted = select(func.count()).where(L7Rule.l7policy_id.in_(policies), L7Rule.compare_type == Comparison.REGEX)
    if connection.execute(counted).scalar_one() >= settings.max_regular_expressions:
        rule = f"the listener already has {settings.max_regular_expressions} rules with REGEX, the most allowed here"
        raise Conflict(f"compare_type: {rule} (validation.max_regular_expressions)")


def check_policy(connection: Connection, load_balancer_id: str, protocol: str, redirect_pool_id: str | None) -> None:
    """Check that the listener of a policy, whose ``protocol`` is given, speaks HTTP, and that the pool to which the
    policy redirects belongs to the same load balancer and has a compatible protocol."""
    if protocol not in ("HTTP", "TERMINATED_HTTPS"):
        raise InvalidInput("listener_id", f"L7 policies need a listener that speaks HTTP, not {protocol}")
    if redirect_pool_id is not None:
        _check_pool(connection, "redirect_pool_id", redirect_pool_id, load_balancer_id, protocol)


def _check_pool(connection: Connection, field: str, pool_id: str, load_balancer_id: str, protocol: str) -> None:
    columns = (Pool.load_balancer_id, Pool.protocol, Pool.persistence_type, Pool.provisioning_status)
    pool = connection.execute(select(*columns).where(Pool.id == pool_id)).one_or_none()
    if pool is None or pool.load_balancer_id != load_balancer_id:
        raise PoolNotFound(pool_id)
    if pool.protocol not in CARRIED_BY[protocol]:
        raise InvalidInput(field, f"a {protocol} listener cannot use a {pool.protocol} pool")
    if pool.persistence_type in BY_COOKIE and protocol not in SHOWS_COOKIES:
        rule = cookies_unseen(pool.persistence_type, protocol)
        raise InvalidInput(field, f"the pool's session_persistence cannot work behind this listener: {rule}")
    if pool.provisioning_status == ProvisioningStatus.PENDING_DELETE:
        raise Conflict(f"{field}: pool {pool_id} is being deleted")


def check_persistence(connection: Connection, pool_id: str, persistence_type: str | None) -> None:
    """Check that cookies can be read behind all listeners whose default pool this is. (L7 policies need no check: their
    listeners speak HTTP.)"""
    if persistence_type not in BY_COOKIE:
        return
    unseen = Listener.protocol.not_in(SHOWS_COOKIES)
    statement = select(Listener.protocol).where(Listener.default_pool_id == pool_id, unseen).limit(1)
    protocol = connection.scalar(statement)
    if protocol is not None:
        raise InvalidInput("session_persistence.type", cookies_unseen(persistence_type, protocol))


def check_pool_unused(connection: Connection, pool_id: str) -> None:
    """Refuse to delete a pool to which an L7 policy redirects."""
    statement = select(L7Policy.id).where(
        L7Policy.redirect_pool_id == pool_id, L7Policy.provisioning_status != ProvisioningStatus.PENDING_DELETE
    )
    policy = connection.execute(statement).first()
    if policy is not None:
        raise Conflict(f"pool {pool_id} is used by L7 policy {policy.id}")


def siblings(kind: Kind, parent: FromClause, load_balancer_id: ColumnElement[str]) -> ScalarSelect[int]:
    """The number of objects of a kind, as ``check_count`` needs it, for a statement that reads the ``parent``. Objects
    are counted within that parent, but members in all pools of its load balancer."""
    table = table_of(kind.model).alias("sibling")
    within = table.c.load_balancer_id == load_balancer_id
    if kind.parent is not None and kind is not MEMBER:
        within = table.c[kind.parent.id_field] == parent.c.id
    return select(func.count()).select_from(table).where(within).correlate(parent).scalar_subquery()


def check_count(kind: Kind, parent_id: str, count: int, settings: ValidationSettings) -> None:
    """Check that one more object of a kind is allowed where there are ``count``. The settings set the limits, except
    for the number of rules in a policy, which is the reference's."""
    if kind is L7RULE and count >= MAX_RULES:
        raise Conflict(f"too many rules on L7 policy {parent_id}: it already has {MAX_RULES}, the most allowed")
    if kind in _MOST:
        owner, what, setting = _MOST[kind]
        most: int = getattr(settings, setting)
        if count >= most:
            raise Conflict(f"the {owner} already has {most} {what}, the most allowed here (validation.{setting})")
