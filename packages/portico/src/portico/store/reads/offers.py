"""What operators offer: flavors and their options."""

from __future__ import annotations

import json

from sqlalchemy import select

from portico.resources.flavor import Flavor, FlavorProfile
from portico.store.sql.database import Database


def read_flavor_data(database: Database, flavor_id: str) -> dict[str, object] | None:
    """The options of a flavor's profile; None if there is no such flavor any more. One statement."""
    statement = (
        select(FlavorProfile.flavor_data)
        .join(Flavor, Flavor.flavor_profile_id == FlavorProfile.id)
        .where(Flavor.id == flavor_id)
    )
    text = database.read(lambda connection: connection.scalar(statement))
    data: dict[str, object] | None = json.loads(text) if text is not None else None
    return data
