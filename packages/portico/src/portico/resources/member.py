"""Members: the servers of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Required, Self

from pydantic import Field, ValidationInfo, model_validator
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.address import Address, canonical_or_none, in_canonical_form
from portico.resources.member_addresses import check_reachable
from portico.resources.row import UUID, Id, NewObject, ObjectUpdates, Part, Row, Spec, exact_text, validation_settings
from portico.resources.view import OF_PART, Shown, Sought, View, own_fields

Port = Annotated[int, Field(ge=1, le=65535)]


class Member(Part, Row):
    """One server of a pool."""

    __tablename__ = "member"
    CONSTRAINTS = (UniqueConstraint("pool_id", "canonical_address", "protocol_port"),)

    pool_id: Mapped[str] = mapped_column(ForeignKey("pool.id", ondelete="CASCADE"), index=True)
    address: Mapped[str] = mapped_column(exact_text(64))
    canonical_address: Mapped[str] = mapped_column(exact_text(64))
    """The address in the form by which it is compared. ``address`` is the address as it was sent."""
    protocol_port: Mapped[int]
    weight: Mapped[int] = mapped_column(default=1)
    backup: Mapped[bool] = mapped_column(default=False)
    subnet_id: Mapped[str | None] = mapped_column(UUID, default=None)
    monitor_address: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    canonical_monitor_address: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    monitor_port: Mapped[int | None] = mapped_column(default=None)
    vnic_type: Mapped[str] = mapped_column(exact_text(64), default="normal")


class MemberUpdates(ObjectUpdates, total=False):
    """The fields of a member that an update may change."""

    weight: int | None
    backup: bool | None
    monitor_address: str | None
    monitor_port: int | None


class MemberFields(MemberUpdates, NewObject, total=False):
    """The fields that describe a member.

    address: its IPv4 or IPv6 address; loopback and link-local ones are refused unless the settings allow them.
    protocol_port: 1 to 65535.
    weight: its share of the traffic, 0 (no new connections) to 256; default 1.
    backup: whether it is used only when no other member is up.
    monitor_address, monitor_port: where health checks go instead.
    subnet_id: stored; used with networks that amphorae are plugged into.
    """

    address: Required[str]
    protocol_port: Required[int]
    subnet_id: str | None


class MemberSpec(Spec):
    """The fields that a user may set on a member. ``weight`` is 0 (drain) to 256, HAProxy's own range. ``subnet_id`` is
    for networks that amphorae have to be plugged into: on this host, amphorae reach every subnet without that."""

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"project_id", "address", "protocol_port", "subnet_id"})

    address: Address
    protocol_port: Port
    weight: Annotated[int, Field(ge=0, le=256)] = 1
    backup: bool = False
    subnet_id: Id | None = None
    monitor_address: Address | None = None
    monitor_port: Port | None = None

    @model_validator(mode="after")
    def _check_addresses(self, info: ValidationInfo) -> Self:
        for field in ("address", "monitor_address"):
            value = getattr(self, field)
            if value is not None:
                check_reachable(field, ip_address(value), validation_settings(info))
        return self

    @classmethod
    def columns_elsewhere(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The columns with the canonical forms of the addresses that are in ``fields``."""
        return {
            f"canonical_{name}": canonical_or_none(fields[name])
            for name in ("address", "monitor_address")
            if name in fields
        }


def _address(column: Any, canonical: Any) -> Shown:
    return Shown(column, sought=Sought(canonical, in_canonical_form))


MEMBER_VIEW = View(
    "member",
    "members",
    {
        **own_fields(Member, name=Member.name),
        "address": _address(Member.address, Member.canonical_address),
        "protocol_port": Shown(Member.protocol_port),
        "weight": Shown(Member.weight),
        "backup": Shown(Member.backup),
        "subnet_id": Shown(Member.subnet_id),
        "monitor_address": _address(Member.monitor_address, Member.canonical_monitor_address),
        "monitor_port": Shown(Member.monitor_port),
        "vnic_type": Shown(Member.vnic_type),
        "pool_id": Shown(Member.pool_id, hidden=True),
        "loadbalancer_id": Shown(Member.load_balancer_id, hidden=True),
    },
    OF_PART,
)
