"""A request that a setting forbids is refused with the name of the setting, as operators write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from portico.api.trees import TreePlan
from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_loopback import LoopbackNetwork
from portico.drivers.network_noop import NoopNetwork
from portico.errors import PorticoError
from portico.intake.catalog import Catalog
from portico.intake.requests import Requests
from portico.settings import ValidationSettings
from portico.store.sql.database import Database

pytestmark = pytest.mark.database("sqlite")

MONITOR: dict[str, Any] = {"type": "PING", "delay": 5, "timeout": 3, "max_retries": 2}
STRICT = ValidationSettings(
    reserved_networks=("203.0.113.0/24",),
    lowest_listener_port=1024,
    max_members=1,
    max_listeners=1,
    max_pools=1,
    max_l7policies=1,
    max_parts=2,
    max_regular_expressions=1,
)


class FullLoadBalancer:
    """A load balancer with as many parts as ``STRICT`` allows."""

    def __init__(self, database: Database) -> None:
        network = NoopNetwork()
        self.catalog = Catalog(database, STRICT, network)
        self.requests = Requests(database, STRICT, InProcessNotifier(), network=network)
        self.load_balancer = self.catalog.add_load_balancer()
        self.listener = self.catalog.add_listener(self.load_balancer, protocol="HTTP", protocol_port=8080)
        self.pool = self.catalog.add_pool(self.load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        self.policy = self.catalog.add_l7policy(self.listener, action="REJECT")
        self.add_rule()

    def add_member(self, address: str = "192.0.2.1") -> None:
        """Add another member."""
        self.catalog.add_member(self.pool, address=address, protocol_port=80)

    def add_rule(self) -> None:
        """Add another rule with a regular expression."""
        self.catalog.add_l7rule(self.policy, type="PATH", compare_type="REGEX", value="^/a")

    def plan(self, body: dict[str, Any], **limits: int) -> None:
        """Plan a tree as the API does for a body with everything in it."""
        settings = STRICT.model_copy(update=limits)
        TreePlan(str(uuid4()), lambda _kind, given: dict(given), settings).add(body)


def _twice(full: FullLoadBalancer) -> None:
    full.add_member()
    full.add_member("192.0.2.2")


REFUSED: list[tuple[str, Callable[[FullLoadBalancer], Any]]] = [
    ("allow_ping_monitors", lambda full: full.catalog.add_health_monitor(full.pool, **MONITOR)),
    ("allow_loopback_members", lambda full: full.add_member("127.0.0.1")),
    ("allow_loopback_members", lambda full: full.add_member("::1")),
    ("allow_link_local_members", lambda full: full.add_member("169.254.169.254")),
    ("allow_special_members", lambda full: full.add_member("240.0.0.1")),
    ("reserved_networks", lambda full: full.add_member("203.0.113.5")),
    ("lowest_listener_port", lambda p: p.catalog.add_listener(p.load_balancer, protocol="HTTP", protocol_port=80)),
    ("max_members", _twice),
    (
        "max_members",
        lambda p: p.requests.replace_members(p.pool, [{"address": f"192.0.2.{n}", "protocol_port": 1} for n in (1, 2)]),
    ),
    ("max_members", lambda p: p.plan({"pools": [{"members": [{}, {}]}]})),
    ("max_members", lambda p: p.plan({"pools": [{"members": [{}]}, {"members": [{}]}]}, max_pools=2, max_parts=9)),
    ("max_listeners", lambda p: p.catalog.add_listener(p.load_balancer, protocol="HTTP", protocol_port=8081)),
    ("max_listeners", lambda p: p.plan({"listeners": [{}, {}]})),
    ("max_pools", lambda p: p.catalog.add_pool(p.load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")),
    ("max_pools", lambda p: p.plan({"pools": [{}, {}]})),
    ("max_pools", lambda p: p.plan({"pools": [{}], "listeners": [{"default_pool": {}}]}, max_parts=9)),
    ("max_l7policies", lambda full: full.catalog.add_l7policy(full.listener, action="REJECT")),
    ("max_l7policies", lambda p: p.plan({"listeners": [{"l7policies": [{}, {}]}]})),
    ("max_parts", lambda p: p.plan({"pools": [{"members": [{}], "healthmonitor": {}}]})),
    ("max_regular_expressions", lambda full: full.add_rule()),
]


@pytest.mark.parametrize(("setting", "ask"), REFUSED)
def test_a_refusal_names_the_setting_that_forbids_it(
    setting: str, ask: Callable[[FullLoadBalancer], Any], database: Database
) -> None:
    """The error ends with the name of the setting, so that its operator knows which one to change."""
    full = FullLoadBalancer(database)
    with pytest.raises(PorticoError, match=rf"\(validation\.{setting}\)$"):
        ask(full)


def test_every_validation_setting_has_a_refusal() -> None:
    """Every validation setting has a case above."""
    assert {setting for setting, _ in REFUSED} == set(ValidationSettings.model_fields)


def test_a_reserved_network_is_not_disclosed(database: Database) -> None:
    """The error tells the user that the address is reserved, but not which network the operator reserved."""
    with pytest.raises(PorticoError) as refusal:
        FullLoadBalancer(database).add_member("203.0.113.5")
    assert "203.0.113.0" not in str(refusal.value)


def test_the_error_of_an_address_outside_the_range_names_the_setting(database: Database) -> None:
    """A VIP outside the configured part of 127.0.0.0/8 is refused with the setting's name."""
    catalog = Catalog(database, STRICT, LoopbackNetwork("127.64.0.0/10"))
    with pytest.raises(PorticoError, match=r"within 127\.64\.0\.0/10 \(network\.vip_range\)$"):
        catalog.add_load_balancer(vip_address="127.0.0.1")
