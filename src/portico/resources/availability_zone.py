"""Availability zones: named places that an operator offers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import UUID, Row, new_id


class AvailabilityZoneProfile(Row):
    """What a zone means to a provider."""

    __tablename__ = "availability_zone_profile"

    id: Mapped[str] = mapped_column(UUID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    provider_name: Mapped[str] = mapped_column(String(255))
    availability_zone_data: Mapped[dict[str, Any]]


class AvailabilityZone(Row):
    """What a user picks; the v2 API addresses zones by name."""

    __tablename__ = "availability_zone"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    description: Mapped[str] = mapped_column(String(255), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    availability_zone_profile_id: Mapped[str] = mapped_column(ForeignKey("availability_zone_profile.id"))
