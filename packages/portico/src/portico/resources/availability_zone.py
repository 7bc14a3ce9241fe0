"""Availability zones: named places for load balancers, which an operator offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.offer import Data, OfferName, OfferSpec, ProviderName
from portico.resources.row import UUID, Id, Name, Row, exact_text, new_id
from portico.resources.view import Shown, View

ZONE_CAPABILITIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "compute_zone": (
        "Where compute should place the amphorae. Today that is one host, whatever the zone.",
        (),
    ),
}
"""Option of a zone to its description and its allowed values (none listed: any)."""


class AvailabilityZoneProfile(Row):
    """What a zone means to a provider."""

    __tablename__ = "availability_zone_profile"

    id: Mapped[str] = mapped_column(UUID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(exact_text(255))
    provider_name: Mapped[str] = mapped_column(exact_text(255))
    availability_zone_data: Mapped[str] = mapped_column(exact_text(4096))
    """JSON, exactly as it was sent."""


class AvailabilityZone(Row):
    """A zone that users pick by name. The v2 API addresses zones by name, too."""

    __tablename__ = "availability_zone"

    name: Mapped[str] = mapped_column(exact_text(255), primary_key=True)
    description: Mapped[str] = mapped_column(exact_text(255), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    availability_zone_profile_id: Mapped[str] = mapped_column(ForeignKey("availability_zone_profile.id"))


class AvailabilityZoneProfileSpec(OfferSpec):
    """The fields that an operator may set on a zone's profile."""

    name: OfferName
    provider_name: ProviderName
    availability_zone_data: Data


def _check_addressable(name: str) -> str:
    if "/" in name or name in (".", ".."):
        raise ValueError("must not contain a slash, nor be . or ..: zones are addressed by name")
    return name


class AvailabilityZoneSpec(OfferSpec):
    """The fields that an operator may set on a zone."""

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"name", "availability_zone_profile_id"})

    name: Annotated[OfferName, AfterValidator(_check_addressable)]
    description: Name = ""
    enabled: bool = True
    availability_zone_profile_id: Id


AVAILABILITY_ZONE_PROFILE_VIEW = View(
    "availability_zone_profile",
    "availability_zone_profiles",
    {
        "id": Shown(AvailabilityZoneProfile.id),
        "name": Shown(AvailabilityZoneProfile.name),
        "provider_name": Shown(AvailabilityZoneProfile.provider_name),
        "availability_zone_data": Shown(AvailabilityZoneProfile.availability_zone_data),
    },
)
AVAILABILITY_ZONE_VIEW = View(
    "availability_zone",
    "availability_zones",
    {
        "name": Shown(AvailabilityZone.name),
        "description": Shown(AvailabilityZone.description),
        "enabled": Shown(AvailabilityZone.enabled),
        "availability_zone_profile_id": Shown(AvailabilityZone.availability_zone_profile_id),
    },
    id_field="name",
)
