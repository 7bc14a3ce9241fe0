"""The load balancer and its VIPs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, String, UniqueConstraint, and_, case, cast, func, or_
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.address import Address, canonical_or_none, in_canonical_form
from portico.resources.operation import Lease
from portico.resources.row import UUID, ApiObject, Id, Name, NewObject, ObjectUpdates, Row, Spec, exact_text, table_of
from portico.resources.view import ENABLED, Related, Shown, Sought, View, own_fields
from portico.status import SHOWN_AS_UPDATING, ProvisioningStatus


def vip_address_columns(address: str | None) -> dict[str, str | None]:
    """The columns of a ``Vip`` that store its address: as it was sent, and in the form by which it is compared."""
    return {
        "ip_address": address,
        "canonical_address": canonical_or_none(address),
    }


class LoadBalancer(ApiObject, Row):
    """A load balancer: the root of its listeners, pools and their parts."""

    __tablename__ = "load_balancer"

    provider: Mapped[str] = mapped_column(exact_text(64), default="amphora")
    topology: Mapped[str] = mapped_column(exact_text(16), default="SINGLE")
    flavor_id: Mapped[str | None] = mapped_column(ForeignKey("flavor.id"), default=None)
    availability_zone: Mapped[str | None] = mapped_column(ForeignKey("availability_zone.name"), default=None)
    vip_qos_policy_id: Mapped[str | None] = mapped_column(UUID, default=None)
    vip_sg_ids: Mapped[list[str] | None] = mapped_column(default=None)
    vip_vnic_type: Mapped[str] = mapped_column(exact_text(64), default="normal")


class Vip(Row):
    """One virtual address. The one at position 0 is what the API calls the VIP, the others are the additional VIPs.

    The row is written before the VIP exists outside, with the values that its user was shown. ``ip_address`` is None
    as long as the network has not chosen an address. The unique constraint keeps two load balancers from having the
    same address.
    """

    __tablename__ = "vip"
    __table_args__ = (UniqueConstraint("address_scope", "canonical_address"),)

    load_balancer_id: Mapped[str] = mapped_column(ForeignKey("load_balancer.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ip_address: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    """The address, as the user spelled it if they asked for it."""
    canonical_address: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    """The address in the form by which it is compared."""
    address_scope: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    """The scope in which the address is unique (``VipAllocation.scope``); None until the network names it. In rows that
    are older than this column, an address that was only asked for has the id of its subnet."""
    subnet_id: Mapped[str | None] = mapped_column(UUID, default=None)
    network_id: Mapped[str | None] = mapped_column(UUID, default=None)
    port_id: Mapped[str | None] = mapped_column(UUID, default=None)
    allocated: Mapped[bool] = mapped_column(default=False)
    """Whether the network has made the VIP. Until then, the row describes the VIP that is wanted."""


class AdditionalVip(TypedDict, total=False):
    """One more address of a load balancer."""

    subnet_id: str | None
    ip_address: str | None


class VipSpec(BaseModel):
    """The fields of an additional VIP that a user may set. It is not an object of its own, so it has no name, project
    or tags."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subnet_id: Id | None = None
    ip_address: Address | None = None


MOST_ADDITIONAL_VIPS = 31
"""Addresses beside the first one. Every listener listens on all of them, in every amphora."""


_Provider = Literal["amphora", "octavia"]


class LoadBalancerUpdates(ObjectUpdates, total=False):
    """The fields of a load balancer that an update may change."""

    vip_qos_policy_id: str | None
    vip_sg_ids: list[str] | None


class LoadBalancerFields(LoadBalancerUpdates, NewObject, total=False):
    """The fields that describe a load balancer.

    vip_address: its address. If not set, the network chooses one: immediately if it can, else when the load balancer
        is built.
    vip_subnet_id, vip_network_id, vip_port_id: where that address is.
    additional_vips: further addresses, each a dict of ``ip_address`` and ``subnet_id``.
    provider: "amphora" or "octavia", which are the same; default amphora.
    flavor_id, availability_zone: the options it is built with, and where it is built; each names its provider.
    vip_qos_policy_id, vip_sg_ids: for networks that have QoS policies and security groups; loopback has neither.
    """

    provider: _Provider | None
    flavor_id: str | None
    availability_zone: str | None
    vip_address: str | None
    vip_subnet_id: str | None
    vip_network_id: str | None
    vip_port_id: str | None
    additional_vips: list[AdditionalVip] | None


class LoadBalancerSpec(Spec):
    """The fields that a user may set on a load balancer. Without a ``vip_address``, the network driver chooses one."""

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset(
        {
            "project_id",
            "provider",
            "flavor_id",
            "availability_zone",
            "vip_address",
            "vip_subnet_id",
            "vip_network_id",
            "vip_port_id",
            "additional_vips",
        }
    )

    provider: _Provider = "amphora"
    flavor_id: Id | None = None
    availability_zone: Name | None = None
    vip_address: Address | None = None
    vip_subnet_id: Id | None = None
    vip_network_id: Id | None = None
    vip_port_id: Id | None = None
    vip_qos_policy_id: Id | None = None
    vip_sg_ids: list[Id] | None = None
    additional_vips: list[VipSpec] = Field(default=[], max_length=MOST_ADDITIONAL_VIPS)


def _show_additional_vips(found: list[str]) -> list[dict[str, str | None]]:
    """Parse the ``_VIP_TEXT`` of each VIP. The one at position 0 is left out: it is shown elsewhere."""
    if len(found) <= 1:
        return []
    vips = sorted((one.split(" ") for one in found), key=lambda parts: int(parts[0]))
    names = ("ip_address", "subnet_id", "port_id")
    return [dict(zip(names, (part or None for part in parts[1:]), strict=True)) for parts in vips if parts[0] != "0"]


_ANY_VIP = table_of(Vip).alias("any_vip")
_VIP_TEXT = (
    cast(_ANY_VIP.c.position, String(8))
    + (" " + func.coalesce(_ANY_VIP.c.ip_address, ""))
    + (" " + func.coalesce(_ANY_VIP.c.subnet_id, ""))
    + (" " + func.coalesce(_ANY_VIP.c.port_id, ""))
)


def _is_additional_vip(values: Sequence[str]) -> Any:
    """Condition of a filter: an additional VIP has one of these addresses, in any spelling, or one of these subnets."""
    addresses = [in_canonical_form(value) for value in values]
    is_one = or_(_ANY_VIP.c.canonical_address.in_(addresses), _ANY_VIP.c.subnet_id.in_(values))
    return and_(_ANY_VIP.c.position > 0, is_one)


_SHOWN_STATUS = case(
    (
        and_(Lease.pending > 0, LoadBalancer.provisioning_status.in_(SHOWN_AS_UPDATING)),
        ProvisioningStatus.PENDING_UPDATE.value,
    ),
    else_=LoadBalancer.provisioning_status,
)
"""``portico.status.shown_status`` in SQL."""

LOAD_BALANCER_VIEW = View(
    "loadbalancer",
    "loadbalancers",
    {
        **own_fields(LoadBalancer, name=LoadBalancer.name, description=LoadBalancer.description),
        "provisioning_status": Shown(_SHOWN_STATUS, schema={"type": "string"}),
        "provider": Shown(LoadBalancer.provider),
        "flavor_id": Shown(LoadBalancer.flavor_id),
        "availability_zone": Shown(LoadBalancer.availability_zone),
        "vip_address": Shown(Vip.ip_address, sought=Sought(Vip.canonical_address, in_canonical_form)),
        "vip_subnet_id": Shown(Vip.subnet_id),
        "vip_network_id": Shown(Vip.network_id),
        "vip_port_id": Shown(Vip.port_id),
        "vip_qos_policy_id": Shown(LoadBalancer.vip_qos_policy_id),
        "vip_sg_ids": Shown(LoadBalancer.vip_sg_ids, lambda ids: ids or [], {"type": "array"}),
        "vip_vnic_type": Shown(LoadBalancer.vip_vnic_type),
        "additional_vips": Related(
            _ANY_VIP, "load_balancer_id", _VIP_TEXT, _show_additional_vips, {"type": "array"}, _is_additional_vip
        ),
        "listeners": Related("listener", "load_balancer_id"),
        "pools": Related("pool", "load_balancer_id"),
    },
    ENABLED,
)
