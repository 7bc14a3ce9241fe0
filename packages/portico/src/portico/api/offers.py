"""Offers: flavors, availability zones and their profiles. Users see flavors and zones; operators write all of them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from portico.api.bodies import own_values
from portico.api.call import Call, Received
from portico.api.documentation import gives, lists, shows, takes
from portico.api.faults import answer
from portico.intake.offers import OFFERS, add_offer, change_offer, remove_offer
from portico.resources.availability_zone import (
    AVAILABILITY_ZONE_PROFILE_VIEW as ZONE_PROFILE_VIEW,
)
from portico.resources.availability_zone import (
    AVAILABILITY_ZONE_VIEW as ZONE_VIEW,
)
from portico.resources.availability_zone import AvailabilityZoneProfileSpec, AvailabilityZoneSpec
from portico.resources.flavor import FLAVOR_PROFILE_VIEW, FLAVOR_VIEW, FlavorProfileSpec, FlavorSpec

router = APIRouter(prefix="/v2.0/lbaas")

_RULES = {
    "flavor": "flavor",
    "flavor_profile": "flavor-profile",
    "availability_zone": "availability-zone",
    "availability_zone_profile": "availability-zone-profile",
}


def _list(call: Call, kind: str) -> Response:
    call.authorize(f"{_RULES[kind]}:get_all", call.identity.project_id)
    return call.list_view(OFFERS[kind].view, {})


def _show(call: Call, kind: str, object_id: str) -> Response:
    call.authorize(f"{_RULES[kind]}:get_one", call.identity.project_id)
    shown = call.read(OFFERS[kind].view, object_id)
    if shown is None:
        raise OFFERS[kind].missing(object_id)
    return call.show(OFFERS[kind].view, shown)


def _create(call: Call, kind: str) -> Response:
    call.authorize(f"{_RULES[kind]}:post", None)
    offer = OFFERS[kind]
    values = own_values(offer.view, offer.spec.model_fields, call.object(offer.view.root))
    return answer({offer.view.root: add_offer(call.context.database, kind, values)}, 201)


def _update(call: Call, kind: str, object_id: str) -> Response:
    call.authorize(f"{_RULES[kind]}:put", None)
    offer = OFFERS[kind]
    changes = own_values(offer.view, offer.spec.model_fields, call.object(offer.view.root))
    return answer({offer.view.root: change_offer(call.context.database, kind, object_id, changes)})


def _delete(call: Call, kind: str, object_id: str) -> Response:
    call.authorize(f"{_RULES[kind]}:delete", None)
    remove_offer(call.context.database, kind, object_id)
    return Response(status_code=204)


@router.get("/flavors", tags=["flavors"], **lists(FLAVOR_VIEW))
def list_flavors(call: Received) -> Response:
    """List all flavors."""
    return _list(call, "flavor")


@router.post("/flavors", tags=["flavors"], **takes(shows(FLAVOR_VIEW, 201), FLAVOR_VIEW.root, FlavorSpec))
def create_flavor(call: Received) -> Response:
    """Create a flavor."""
    return _create(call, "flavor")


@router.get("/flavors/{flavor_id}", tags=["flavors"], **shows(FLAVOR_VIEW))
def show_flavor(call: Received, flavor_id: str) -> Response:
    """Show a flavor."""
    return _show(call, "flavor", flavor_id)


@router.put(
    "/flavors/{flavor_id}",
    tags=["flavors"],
    **takes(shows(FLAVOR_VIEW), FLAVOR_VIEW.root, FlavorSpec, update=True),
)
def update_flavor(call: Received, flavor_id: str) -> Response:
    """Change a flavor's name or description, or whether it is offered."""
    return _update(call, "flavor", flavor_id)


@router.delete("/flavors/{flavor_id}", tags=["flavors"], **gives(None, 204))
def delete_flavor(call: Received, flavor_id: str) -> Response:
    """Delete a flavor that no load balancer uses."""
    return _delete(call, "flavor", flavor_id)


@router.get("/flavorprofiles", tags=["flavors"], **lists(FLAVOR_PROFILE_VIEW))
def list_flavor_profiles(call: Received) -> Response:
    """List all flavor profiles."""
    return _list(call, "flavor_profile")


@router.post(
    "/flavorprofiles",
    tags=["flavors"],
    **takes(shows(FLAVOR_PROFILE_VIEW, 201), FLAVOR_PROFILE_VIEW.root, FlavorProfileSpec),
)
def create_flavor_profile(call: Received) -> Response:
    """Create a flavor profile: the properties of load balancers of a flavor."""
    return _create(call, "flavor_profile")


@router.get("/flavorprofiles/{flavor_profile_id}", tags=["flavors"], **shows(FLAVOR_PROFILE_VIEW))
def show_flavor_profile(call: Received, flavor_profile_id: str) -> Response:
    """Show a flavor profile."""
    return _show(call, "flavor_profile", flavor_profile_id)


@router.put(
    "/flavorprofiles/{flavor_profile_id}",
    tags=["flavors"],
    **takes(shows(FLAVOR_PROFILE_VIEW), FLAVOR_PROFILE_VIEW.root, FlavorProfileSpec, update=True),
)
def update_flavor_profile(call: Received, flavor_profile_id: str) -> Response:
    """Change a flavor profile. Its name can be changed at any time, everything else only while no flavor uses it."""
    return _update(call, "flavor_profile", flavor_profile_id)


@router.delete("/flavorprofiles/{flavor_profile_id}", tags=["flavors"], **gives(None, 204))
def delete_flavor_profile(call: Received, flavor_profile_id: str) -> Response:
    """Delete a flavor profile that no flavor uses."""
    return _delete(call, "flavor_profile", flavor_profile_id)


@router.get("/availabilityzones", tags=["availability zones"], **lists(ZONE_VIEW))
def list_availability_zones(call: Received) -> Response:
    """List all availability zones."""
    return _list(call, "availability_zone")


@router.post(
    "/availabilityzones",
    tags=["availability zones"],
    **takes(shows(ZONE_VIEW, 201), ZONE_VIEW.root, AvailabilityZoneSpec),
)
def create_availability_zone(call: Received) -> Response:
    """Create an availability zone."""
    return _create(call, "availability_zone")


@router.get("/availabilityzones/{name}", tags=["availability zones"], **shows(ZONE_VIEW))
def show_availability_zone(call: Received, name: str) -> Response:
    """Show an availability zone."""
    return _show(call, "availability_zone", name)


@router.put(
    "/availabilityzones/{name}",
    tags=["availability zones"],
    **takes(shows(ZONE_VIEW), ZONE_VIEW.root, AvailabilityZoneSpec, update=True),
)
def update_availability_zone(call: Received, name: str) -> Response:
    """Change the description of an availability zone, or whether it is offered."""
    return _update(call, "availability_zone", name)


@router.delete("/availabilityzones/{name}", tags=["availability zones"], **gives(None, 204))
def delete_availability_zone(call: Received, name: str) -> Response:
    """Delete an availability zone that no load balancer is in."""
    return _delete(call, "availability_zone", name)


@router.get("/availabilityzoneprofiles", tags=["availability zones"], **lists(ZONE_PROFILE_VIEW))
def list_availability_zone_profiles(call: Received) -> Response:
    """List all availability zone profiles."""
    return _list(call, "availability_zone_profile")


@router.post(
    "/availabilityzoneprofiles",
    tags=["availability zones"],
    **takes(shows(ZONE_PROFILE_VIEW, 201), ZONE_PROFILE_VIEW.root, AvailabilityZoneProfileSpec),
)
def create_availability_zone_profile(call: Received) -> Response:
    """Create an availability zone profile: the properties of load balancers in a zone."""
    return _create(call, "availability_zone_profile")


@router.get("/availabilityzoneprofiles/{profile_id}", tags=["availability zones"], **shows(ZONE_PROFILE_VIEW))
def show_availability_zone_profile(call: Received, profile_id: str) -> Response:
    """Show an availability zone profile."""
    return _show(call, "availability_zone_profile", profile_id)


@router.put(
    "/availabilityzoneprofiles/{profile_id}",
    tags=["availability zones"],
    **takes(shows(ZONE_PROFILE_VIEW), ZONE_PROFILE_VIEW.root, AvailabilityZoneProfileSpec, update=True),
)
def update_availability_zone_profile(call: Received, profile_id: str) -> Response:
    """Change an availability zone profile. Its name can be changed at any time, everything else only while no zone uses
    it."""
    return _update(call, "availability_zone_profile", profile_id)


@router.delete("/availabilityzoneprofiles/{profile_id}", tags=["availability zones"], **gives(None, 204))
def delete_availability_zone_profile(call: Received, profile_id: str) -> Response:
    """Delete an availability zone profile that no zone uses."""
    return _delete(call, "availability_zone_profile", profile_id)
