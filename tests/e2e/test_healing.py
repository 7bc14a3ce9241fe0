"""Failures and changes that clients do not notice."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

import pytest
from sqlalchemy import update

from portico import Embedded
from portico.errors import AddressInUse, ConfigurationRefused
from portico.resources import L7Rule
from tests.e2e.web import build_web
from tests.support.clients import Load
from tests.support.origins import Origin
from tests.support.waiting import wait_until

MONITOR: dict[str, Any] = {
    "type": "HTTP",
    "url_path": "/health",
    "delay": 1,
    "timeout": 1,
    "max_retries": 1,
    "max_retries_down": 2,
}


def test_the_monitor_takes_a_failing_member_out_of_service_and_back(portico: Embedded, origins: list[Origin]) -> None:
    """A member whose health check fails gets no more requests, even if it would answer them. It gets requests again
    once its check passes."""
    web = build_web(portico, origins, monitor=MONITOR)
    origins[0].well = False
    wait_until(lambda: "a" not in web.spread(6), "the sick member is out")

    origins[0].well = True
    wait_until(lambda: "a" in web.spread(6), "the member is back")


def test_a_dead_member_fails_no_request(portico: Embedded, origins: list[Origin]) -> None:
    """Requests for a member that refuses connections go to another member, before and after the monitor has noticed."""
    web = build_web(portico, origins, monitor=MONITOR)
    with Load(web.port, address=web.address, rate=150) as load:
        load.wait_for(30)
        origins[0].stop()
        time.sleep(3.0)  # requests continue, and must not fail before or after the monitor's check
        origins[0].well = False
        origins[0].start()
        before = load.answers.copy()
        load.wait_for(60)
    assert load.failures == []
    assert set(load.answers - before) == {"b", "c"}


@pytest.mark.parametrize("object_name", ["amphora", "load_balancer"])
def test_a_failover_under_load_fails_no_request(portico: Embedded, origins: list[Origin], object_name: str) -> None:
    """Three times in a row another amphora takes over without a failed request, and the former amphora is gone."""
    web = build_web(portico, origins, monitor=MONITOR)
    with Load(web.port, address=web.address, rate=200) as load:
        for _ in range(3):
            load.wait_for(40)
            before, pid = web.amphora(), web.state().pid
            if object_name == "amphora":
                portico.worker.failover_amphora(before)
            else:
                portico.worker.failover_load_balancer(web.id)
            assert web.amphora() != before
            assert web.state().pid != pid
            assert before not in portico.worker.services.compute.owned()
            load.wait_for(40)
    assert load.failures == []
    assert set(load.answers) == {"a", "b", "c"}


def test_changes_under_load_fail_no_request(portico: Embedded, origins: list[Origin]) -> None:
    """Members, monitor, algorithm, listener and policies change under traffic, through runtime commands and reloads,
    without a failed request."""
    web = build_web(portico, origins[:1])
    worker, catalog = portico.worker, portico.catalog
    with Load(web.port, address=web.address, rate=200) as load:
        for origin in origins[1:]:
            web.add_member(origin)
        monitor = catalog.add_health_monitor(web.pool, **MONITOR)
        for round_ in range(3):
            if round_ == 0:
                worker.create_health_monitor(monitor)
            worker.update_member(web.members["a"], {"weight": round_})
            worker.update_pool(web.pool, {"lb_algorithm": ("LEAST_CONNECTIONS", "SOURCE_IP", "ROUND_ROBIN")[round_]})
            worker.update_health_monitor(monitor, {"delay": 2 + round_})
            worker.update_listener(web.listener, {"connection_limit": 500 + round_})
            policy = web.add_policy(
                {"type": "PATH", "compare_type": "STARTS_WITH", "value": f"/{round_}"}, action="REJECT"
            )
            worker.update_l7policy(policy, {"position": 1})
            worker.delete_member(web.members["c"])
            web.add_member(origins[2])
            load.wait_for(20)
        worker.delete_health_monitor(monitor)
        load.wait_for(20)
    assert load.failures == []


def test_a_killed_haproxy_is_replaced_before_a_connection_fails(portico: Embedded, origins: list[Origin]) -> None:
    """After SIGKILL, another process is started automatically, and new connections wait for it instead of being
    refused."""
    web = build_web(portico, origins[:1])
    before = web.state()
    assert before.pid is not None

    os.kill(before.pid, signal.SIGKILL)
    assert [web.ask().status for _ in range(5)] == [200] * 5

    after = web.state()
    assert after.pid not in (None, before.pid)
    assert (after.restarts, after.version) == (before.restarts + 1, before.version)


def test_a_refused_configuration_leaves_the_former_one_serving(portico: Embedded, origins: list[Origin]) -> None:
    """The caller gets ConfigurationRefused if HAProxy refuses a configuration. The same process continues, and the next
    change succeeds."""
    web = build_web(portico, origins[:1])
    policy = web.add_policy({"type": "PATH", "compare_type": "STARTS_WITH", "value": "/new"}, action="REJECT")
    rule = portico.catalog.add_l7rule(policy, type="PATH", compare_type="REGEX", value="x")
    # As far as we know, a request never leads to a configuration that HAProxy refuses, so this one is pushed another
    # way.
    spoil = update(L7Rule).where(L7Rule.id == rule).values(value="(?u)x")
    portico.worker.services.database.transact(lambda connection: connection.execute(spoil))
    before = web.state()

    with pytest.raises(ConfigurationRefused):
        portico.worker.create_l7rule(rule)

    assert web.ask().status == 200
    assert web.state().pid == before.pid
    assert portico.catalog.show("l7rule", rule)["provisioning_status"] == "ERROR"
    portico.worker.delete_l7rule(rule)
    portico.worker.update_member(web.members["a"], {"weight": 7})
    assert web.ask().status == 200


def test_a_port_in_use_is_refused(portico: Embedded, origins: list[Origin]) -> None:
    """A listener on a port that another program uses fails for its caller, and harms no other listener."""
    web = build_web(portico, origins[:1])
    with socket.create_server((web.address, 0)) as foreign:
        port = foreign.getsockname()[1]
        listener = portico.catalog.add_listener(web.id, protocol="HTTP", protocol_port=port, default_pool_id=web.pool)
        with pytest.raises(AddressInUse):
            portico.worker.create_listener(listener)
    assert portico.catalog.show("listener", listener)["provisioning_status"] == "ERROR"
    assert web.ask().status == 200
    portico.worker.delete_listener(listener)


def test_simultaneous_changes_are_all_applied(portico: Embedded, origins: list[Origin]) -> None:
    """Changes of one load balancer from several threads are all applied; none is refused because the load balancer is
    busy."""
    web = build_web(portico, origins[:1])
    problems: list[BaseException] = []

    def change(weight: int) -> None:
        try:
            for _ in range(5):
                portico.worker.update_member(web.members["a"], {"weight": weight})
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            problems.append(error)

    threads = [threading.Thread(target=change, args=(weight,)) for weight in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert web.ask().status == 200
    assert portico.catalog.show("load_balancer", web.id)["provisioning_status"] == "ACTIVE"
