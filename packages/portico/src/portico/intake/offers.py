"""Offers: flavors, availability zones and their profiles, written by operators. They are rows only: no operation runs
for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Column, Connection, SQLColumnExpression, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import (
    AvailabilityZoneNotFound,
    AvailabilityZoneProfileNotFound,
    Conflict,
    Duplicate,
    FlavorNotFound,
    FlavorProfileNotFound,
    InvalidInput,
    NotFound,
)
from portico.resources import AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile, LoadBalancer, Row
from portico.resources.availability_zone import (
    AVAILABILITY_ZONE_PROFILE_VIEW,
    AVAILABILITY_ZONE_VIEW,
    ZONE_CAPABILITIES,
    AvailabilityZoneProfileSpec,
    AvailabilityZoneSpec,
)
from portico.resources.flavor import (
    FLAVOR_CAPABILITIES,
    FLAVOR_PROFILE_VIEW,
    FLAVOR_VIEW,
    FlavorProfileSpec,
    FlavorSpec,
)
from portico.resources.offer import OfferSpec, check_data
from portico.resources.row import new_id, table_of
from portico.resources.view import View
from portico.store.sql.database import Database
from portico.store.sql.listing import show_object

T = TypeVar("T")


@dataclass(frozen=True)
class Offer:
    """One kind of offer. ``profile_field`` names the field that refers to its profile, ``data_field`` the field with a
    profile's options, and ``users`` the column that refers to it: an offer that is referred to cannot be deleted."""

    name: str
    model: type[Row]
    spec: type[OfferSpec]
    view: View
    missing: type[NotFound]
    users: SQLColumnExpression[str | None]
    profile_field: str | None = None
    data_field: str | None = None
    capabilities: Mapping[str, tuple[str, tuple[str, ...]]] | None = None

    @property
    def key(self) -> Column[str]:
        """The column that identifies an offer of this kind."""
        return table_of(self.model).c[self.view.id_field]

    def columns(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The columns that hold these fields. A profile's options are checked."""
        if self.data_field is not None and self.data_field in fields:
            check_data(self.data_field, str(fields[self.data_field]), self.capabilities or {})
        return dict(fields)


OFFERS: dict[str, Offer] = {
    offer.name: offer
    for offer in (
        Offer(
            "flavor",
            Flavor,
            FlavorSpec,
            FLAVOR_VIEW,
            FlavorNotFound,
            LoadBalancer.flavor_id,
            profile_field="flavor_profile_id",
        ),
        Offer(
            "flavor_profile",
            FlavorProfile,
            FlavorProfileSpec,
            FLAVOR_PROFILE_VIEW,
            FlavorProfileNotFound,
            Flavor.flavor_profile_id,
            data_field="flavor_data",
            capabilities=FLAVOR_CAPABILITIES,
        ),
        Offer(
            "availability_zone",
            AvailabilityZone,
            AvailabilityZoneSpec,
            AVAILABILITY_ZONE_VIEW,
            AvailabilityZoneNotFound,
            LoadBalancer.availability_zone,
            profile_field="availability_zone_profile_id",
        ),
        Offer(
            "availability_zone_profile",
            AvailabilityZoneProfile,
            AvailabilityZoneProfileSpec,
            AVAILABILITY_ZONE_PROFILE_VIEW,
            AvailabilityZoneProfileNotFound,
            AvailabilityZone.availability_zone_profile_id,
            data_field="availability_zone_data",
            capabilities=ZONE_CAPABILITIES,
        ),
    )
}
_PROFILE_OF = {"flavor_profile_id": "flavor_profile", "availability_zone_profile_id": "availability_zone_profile"}


def add_offer(database: Database, kind: str, values: Mapping[str, object]) -> Mapping[str, object]:
    """Write a new offer. Return it as the API shows it.

    Raises:
        InvalidInput: a value breaks a rule, or there is no such profile.
        Duplicate: the name is already in use.
    """
    offer = OFFERS[kind]
    columns = offer.columns(offer.spec.parse(values).model_dump())
    object_id = str(columns["name"]) if offer.view.id_field == "name" else new_id()

    def work(connection: Connection) -> Mapping[str, object]:
        _check_profile(connection, offer, columns)
        key = {} if offer.view.id_field == "name" else {"id": object_id}
        connection.execute(insert(offer.model).values(**columns, **key))
        return _show(connection, offer, object_id)

    def already_done(connection: Connection) -> Mapping[str, object] | None:
        return show_object(connection, offer.view, object_id)

    return _transact(database, offer, work, already_done)


def change_offer(database: Database, kind: str, object_id: str, changes: Mapping[str, object]) -> Mapping[str, object]:
    """Change attributes of an offer; None resets an attribute to its default. Return the offer as the API then shows
    it.

    Raises:
        NotFound: there is no such offer; each kind has a subclass of its own.
        InvalidInput: a value breaks a rule, or an attribute cannot be changed.
        Conflict: the options or the provider of a profile cannot be changed while it is in use.
        Duplicate: the name is already in use.
    """
    offer = OFFERS[kind]
    for name in changes:
        if name in offer.spec.IMMUTABLE or name not in offer.spec.model_fields:
            raise InvalidInput(name[:64], "is not an attribute that can be changed")

    def work(connection: Connection) -> Mapping[str, object]:
        present = _show(connection, offer, object_id)
        fields = {name: present[name] for name in offer.spec.model_fields}
        fields = offer.spec.parse({**fields, **changes}).model_dump()
        columns = offer.columns({name: fields[name] for name in changes})
        # Load balancers were built from this profile: while it is in use, only its name may change.
        if offer.data_field is not None and set(changes) - {"name"}:
            _check_unused(connection, offer, object_id)
        if columns:
            connection.execute(update(offer.model).where(offer.key == object_id).values(**columns))
        return _show(connection, offer, object_id)

    return _transact(database, offer, work, lambda _connection: None)


def remove_offer(database: Database, kind: str, object_id: str) -> None:
    """Delete an offer.

    Raises:
        NotFound: there is no such offer; each kind has a subclass of its own.
        Conflict: it is in use.
    """
    offer = OFFERS[kind]

    def work(connection: Connection) -> bool:
        _show(connection, offer, object_id)
        _check_unused(connection, offer, object_id)
        connection.execute(delete(offer.model).where(offer.key == object_id))
        return True

    _transact(database, offer, work, lambda connection: show_object(connection, offer.view, object_id) is None or None)


def _transact(
    database: Database, offer: Offer, work: Callable[[Connection], T], already_done: Callable[[Connection], T | None]
) -> T:
    try:
        return database.transact(work, already_done)
    except IntegrityError as error:
        if "foreign key" in str(error.orig).lower():
            raise Conflict(f"this {offer.missing.kind} is in use") from error
        raise Duplicate(f"name: another {offer.missing.kind} has this name") from error


def _show(connection: Connection, offer: Offer, object_id: str) -> Mapping[str, object]:
    shown = show_object(connection, offer.view, object_id)
    if shown is None:
        raise offer.missing(object_id)
    return shown


def _check_profile(connection: Connection, offer: Offer, columns: Mapping[str, object]) -> None:
    if offer.profile_field is None:
        return
    profile = OFFERS[_PROFILE_OF[offer.profile_field]]
    if connection.scalar(select(profile.key).where(profile.key == columns[offer.profile_field])) is None:
        raise InvalidInput(offer.profile_field, f"there is no {profile.missing.kind} {columns[offer.profile_field]}")


def _check_unused(connection: Connection, offer: Offer, object_id: str) -> None:
    users = connection.scalar(select(func.count()).where(offer.users == object_id))
    if users:
        raise Conflict(f"{offer.missing.kind} {object_id} is in use")
