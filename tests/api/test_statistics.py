"""Counters and operating statuses as clients see them, once amphorae have been polled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from portico.health import HealthManager
from portico.settings import HealthSettings
from tests.api.service import Service, address_of

pytestmark = pytest.mark.database("sqlite")

ZERO = dict.fromkeys(("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"), 0)


@pytest.fixture
def health(service: Service) -> Iterator[HealthManager]:
    """Polls on demand."""
    manager = HealthManager(HealthSettings(poll_seconds=10), service.database, service.amphorae, service.compute)
    yield manager
    manager.stop()


@pytest.fixture
def made(service: Service) -> dict[str, Any]:
    """One object of each kind, built."""
    made = service.one_of_each()
    service.settle()
    return made


def test_counters_of_listener_load_balancer_and_amphora(
    service: Service, health: HealthManager, made: dict[str, Any]
) -> None:
    """A load balancer's counters are the sums of its listeners', and an amphora's are listed by listener; each request
    needs the same number of statements however much there is to add up."""
    lb_id, first = made["loadbalancer"]["id"], made["listener"]["id"]
    second = service.create("listener", loadbalancer_id=lb_id, protocol="TCP", protocol_port=81)["id"]
    service.settle()
    [amphora] = service.get(f"/v2/octavia/amphorae?loadbalancer_id={lb_id}")["amphorae"]
    addresses = [
        f"{address_of('loadbalancer', made)}/stats",
        f"{address_of('listener', made)}/stats",
        f"/v2.0/octavia/amphorae/{amphora['id']}/stats",
    ]
    assert service.request("GET", addresses[2]).status_code == 404

    service.amphorae.traffic.count(first, bytes_in=10, bytes_out=20, total_connections=2, active_connections=1)
    service.amphorae.traffic.count(second, bytes_in=5, request_errors=3)
    health.turn()

    of_first = {**ZERO, "bytes_in": 10, "bytes_out": 20, "total_connections": 2, "active_connections": 1}
    of_second = {**ZERO, "bytes_in": 5, "request_errors": 3}
    counts: list[list[int]] = []
    for _ in range(2):
        counts.append([])
        for address in addresses:
            service.statements.clear()
            service.get(address)
            counts[-1].append(len(service.statements))
        service.request("PUT", f"/v2.0/octavia/amphorae/{amphora['id']}/failover")
        service.settle()
        [amphora] = service.get(f"/v2/octavia/amphorae?loadbalancer_id={lb_id}")["amphorae"]
        addresses[2] = f"/v2.0/octavia/amphorae/{amphora['id']}/stats"
        health.turn()
    assert counts[0] == counts[1] == [2, 2, 2]
    gone = {"active_connections": 0}
    assert service.get(addresses[0])["stats"] == {name: of_first[name] + of_second[name] for name in ZERO} | gone
    assert service.get(addresses[1])["stats"] == of_first | gone
    mine = {"id": amphora["id"], "loadbalancer_id": lb_id}
    assert service.get(addresses[2])["amphora_stats"] == [
        {**ZERO, **mine, "listener_id": first},
        {**ZERO, **mine, "listener_id": second},
    ]


def test_the_status_tree_shows_what_is_unhealthy(service: Service, health: HealthManager, made: dict[str, Any]) -> None:
    """An unhealthy member is shown on every level up to the load balancer, and on each object on its own;
    ``updated_at`` only changes with what users request."""
    service.amphorae.traffic.take_down(made["member"]["id"])
    before = service.get(address_of("member", made))["member"]
    health.turn()

    tree = service.get(f"{address_of('loadbalancer', made)}/status")["statuses"]["loadbalancer"]
    [listener] = tree["listeners"]
    [pool] = listener["pools"]
    [member] = pool["members"]
    assert {one["operating_status"] for one in (tree, listener, pool, member)} == {"ERROR"}
    assert pool["health_monitor"]["operating_status"] == "ONLINE"
    assert service.get(address_of("member", made))["member"] == {**before, "operating_status": "ERROR"}
    assert service.names("/v2.0/lbaas/loadbalancers?operating_status=ERROR") == ["web"]
