"""Flavors: named sets of provider options that an operator offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.offer import Data, OfferName, OfferSpec, ProviderName
from portico.resources.row import UUID, Id, Name, Row, exact_text, new_id
from portico.resources.view import Shown, View

FLAVOR_CAPABILITIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "loadbalancer_topology": ("How many amphorae carry a load balancer: SINGLE is one.", ("SINGLE",)),
}
"""Option of a flavor to its description and its allowed values."""


class FlavorProfile(Row):
    """What a flavor means to a provider."""

    __tablename__ = "flavor_profile"

    id: Mapped[str] = mapped_column(UUID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(exact_text(255))
    provider_name: Mapped[str] = mapped_column(exact_text(255))
    flavor_data: Mapped[str] = mapped_column(exact_text(4096))
    """JSON, exactly as it was sent."""


class Flavor(Row):
    """A flavor that users pick by name."""

    __tablename__ = "flavor"

    id: Mapped[str] = mapped_column(UUID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(exact_text(255), unique=True)
    description: Mapped[str] = mapped_column(exact_text(255), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    flavor_profile_id: Mapped[str] = mapped_column(ForeignKey("flavor_profile.id"))


class FlavorProfileSpec(OfferSpec):
    """The fields that an operator may set on a flavor profile."""

    name: OfferName
    provider_name: ProviderName
    flavor_data: Data


class FlavorSpec(OfferSpec):
    """The fields that an operator may set on a flavor."""

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"flavor_profile_id"})

    name: OfferName
    description: Name = ""
    enabled: bool = True
    flavor_profile_id: Id


FLAVOR_PROFILE_VIEW = View(
    "flavorprofile",
    "flavorprofiles",
    {
        "id": Shown(FlavorProfile.id),
        "name": Shown(FlavorProfile.name),
        "provider_name": Shown(FlavorProfile.provider_name),
        "flavor_data": Shown(FlavorProfile.flavor_data),
    },
)
FLAVOR_VIEW = View(
    "flavor",
    "flavors",
    {
        "id": Shown(Flavor.id),
        "name": Shown(Flavor.name),
        "description": Shown(Flavor.description),
        "enabled": Shown(Flavor.enabled),
        "flavor_profile_id": Shown(Flavor.flavor_profile_id),
    },
)
