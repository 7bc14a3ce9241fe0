"""Limits on the number of parts: the transaction that adds a part counts, on every database."""

from __future__ import annotations

import pytest

from portico.drivers.network_noop import NoopNetwork
from portico.errors import Conflict
from portico.intake.catalog import Catalog
from portico.settings import ValidationSettings
from portico.store.sql.database import Database

TWO = ValidationSettings(max_listeners=2, max_pools=2, max_members=2, max_l7policies=2)


@pytest.mark.parametrize("kind", ["listeners", "pools", "members", "L7 policies"])
def test_one_part_more_than_the_limit_is_a_conflict(database: Database, kind: str) -> None:
    """The error names the kind whose limit is reached. Another load balancer still has room."""
    catalog = Catalog(database, TWO, NoopNetwork())

    def add(load_balancer: str, count: int) -> None:
        pool = catalog.add_pool(load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        listener = catalog.add_listener(load_balancer, protocol="HTTP", protocol_port=80)
        for number in range(count):
            match kind:
                case "listeners":
                    catalog.add_listener(load_balancer, protocol="HTTP", protocol_port=81 + number)
                case "pools":
                    catalog.add_pool(load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
                case "members":
                    catalog.add_member(pool, address=f"10.0.0.{number + 1}", protocol_port=80)
                case _:
                    catalog.add_l7policy(listener, action="REJECT")

    room = 1 if kind in ("listeners", "pools") else 2
    full = catalog.add_load_balancer(name="full")
    with pytest.raises(Conflict, match=f"already has 2 {kind}"):
        add(full, room + 1)
    add(catalog.add_load_balancer(name="other"), room)
