"""Amphorae: they carry the traffic of load balancers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, func, select
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.address import in_canonical_form
from portico.resources.load_balancer import Vip
from portico.resources.row import UUID, Row, exact_text, new_id, table_of, utc_now
from portico.resources.view import Shown, Sought, View, time
from portico.status import AmphoraRole, AmphoraStatus


class Amphora(Row):
    """One amphora. Its row, with its id, is written before anything is made outside, so that a retry adopts it.

    A spare has no load balancer, and has a lease of its own. An amphora with a load balancer is under the load
    balancer's lease.
    """

    __tablename__ = "amphora"

    id: Mapped[str] = mapped_column(UUID, primary_key=True, default=new_id)
    load_balancer_id: Mapped[str | None] = mapped_column(ForeignKey("load_balancer.id"), default=None, index=True)
    status: Mapped[str] = mapped_column(exact_text(16), default=AmphoraStatus.PENDING_CREATE, index=True)
    role: Mapped[str | None] = mapped_column(exact_text(16), default=AmphoraRole.STANDALONE)
    compute_id: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    agent_url: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    agent_name: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    """The DNS name in its agent's certificate. Rows that are older than this column have none: code that talks to the
    agent then asks compute for the name first, and records it."""
    lb_network_ip: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    vrrp_ip: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    ha_ip: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    vrrp_port_id: Mapped[str | None] = mapped_column(UUID, default=None)
    ha_port_id: Mapped[str | None] = mapped_column(UUID, default=None)
    vrrp_interface: Mapped[str | None] = mapped_column(exact_text(16), default=None)
    vrrp_id: Mapped[int | None] = mapped_column(default=None)
    vrrp_priority: Mapped[int | None] = mapped_column(default=None)
    cert_expiration: Mapped[datetime | None] = mapped_column(default=None)
    cert_busy: Mapped[bool] = mapped_column(default=False)
    cached_zone: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    image_id: Mapped[str | None] = mapped_column(UUID, default=None)
    compute_flavor: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    replaces_id: Mapped[str | None] = mapped_column(UUID, default=None)
    """The amphora that this one is built to replace, until the failover is recorded. A failover that starts again finds
    its replacement by this column, and can tell it from other amphorae."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(default=None)


class AmphoraHealth(Row):
    """The last health report of an amphora."""

    __tablename__ = "amphora_health"

    amphora_id: Mapped[str] = mapped_column(ForeignKey("amphora.id", ondelete="CASCADE"), primary_key=True)
    last_update: Mapped[datetime]
    busy: Mapped[bool] = mapped_column(default=False)
    boot_id: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    config_version: Mapped[int] = mapped_column(BigInteger, default=0)


def _of_vip(own: Any, column: str) -> Shown:
    """The amphora's own column, else its load balancer's VIP's: a standalone amphora has no other address and port."""
    vip = table_of(Vip).alias()
    of_vip = select(vip.c[column]).where(vip.c.load_balancer_id == Amphora.load_balancer_id, vip.c.position == 0)
    correlated = of_vip.correlate(table_of(Amphora)).scalar_subquery()
    return Shown(func.coalesce(own, correlated), schema={"type": ["string", "null"]})


def _address(shown: Shown) -> Shown:
    """Let filters find an amphora's address in any spelling: the network reports it in canonical form."""
    return replace(shown, sought=Sought(shown.source, in_canonical_form))


AMPHORA_VIEW = View(
    "amphora",
    "amphorae",
    {
        "id": Shown(Amphora.id),
        "loadbalancer_id": Shown(Amphora.load_balancer_id),
        "compute_id": Shown(Amphora.compute_id),
        "lb_network_ip": _address(Shown(Amphora.lb_network_ip)),
        "vrrp_ip": _address(_of_vip(Amphora.vrrp_ip, "canonical_address")),
        "ha_ip": _address(_of_vip(Amphora.ha_ip, "canonical_address")),
        "vrrp_port_id": _of_vip(Amphora.vrrp_port_id, "port_id"),
        "ha_port_id": _of_vip(Amphora.ha_port_id, "port_id"),
        "vrrp_interface": Shown(Amphora.vrrp_interface),
        "vrrp_id": Shown(Amphora.vrrp_id),
        "vrrp_priority": Shown(Amphora.vrrp_priority),
        "cert_expiration": time(Amphora.cert_expiration),
        "cert_busy": Shown(Amphora.cert_busy),
        "role": Shown(Amphora.role),
        "status": Shown(Amphora.status),
        "cached_zone": Shown(Amphora.cached_zone),
        "image_id": Shown(Amphora.image_id),
        "compute_flavor": Shown(Amphora.compute_flavor),
        "created_at": time(Amphora.created_at),
        "updated_at": time(Amphora.updated_at),
    },
    {"load_balancer_id": "loadbalancer_id"},
)
