"""The meaning of HAProxy's statuses."""

from __future__ import annotations

import pytest

from portico.drivers.amphora_noop import NoopAmphorae
from portico.health.findings import read_findings
from portico.ports.amphora import Endpoint
from portico.render import render
from portico.resources import HealthMonitor, Listener, LoadBalancer, Member, Pool, Vip
from portico.resources.kinds import Tree
from portico.resources.row import new_id
from portico.status import OperatingStatus
from portico_wire import ListenerStatistics, ServerStatistics, Statistics


def server(member: str, status: str, check: str, weight: int = 1, *, serves: bool = True) -> ServerStatistics:
    """Statistics of a server that has counted nothing. The names that HAProxy gives to it do not matter."""
    return ServerStatistics("pool", member, serves, "b", "s", status, check, weight, 0, 0, 0, 0, 0, 0)


def report(*servers: ServerStatistics, version: int = 1) -> Statistics:
    """A report about these servers."""
    return Statistics(
        "amphora", version, 42, 1.5, (ListenerStatistics("listener", "f", "OPEN", 0, 0, 0, 0, 0, 0),), servers
    )


@pytest.mark.parametrize(
    ("status", "check", "weight", "found"),
    [
        ("UP", "L7OK", 1, "ONLINE"),
        ("UP", "L4TOUT", 1, "ONLINE"),
        ("UP", "INI", 1, None),
        ("UP", "L7OK", 0, "DRAINING"),
        ("UP", "INI", 0, "DRAINING"),
        ("DRAIN", "L4OK", 1, "DRAINING"),
        ("NOLB", "L7OK", 1, "DRAINING"),
        ("DOWN", "L4CON", 1, "ERROR"),
        ("DOWN", "L4CON", 0, "ERROR"),
        ("DOWN", "INI", 1, "ERROR"),
        ("DOWN", "", 1, "ERROR"),
        ("MAINT", "", 1, "OFFLINE"),
        ("MAINT", "L7OK", 1, "OFFLINE"),
        ("no check", "", 1, "NO_MONITOR"),
        ("no check", "", 0, "NO_MONITOR"),
        ("DRAIN", "", 1, "NO_MONITOR"),
        ("a new word", "L7OK", 1, None),
    ],
)
def test_each_haproxy_status_means_an_operating_status(status: str, check: str, weight: int, found: str | None) -> None:
    """A check that is about to fail is still passing. A server that has not been checked yet, or whose status is
    unknown, gives no finding. A server without a check has no monitor, whatever its weight."""
    findings = read_findings(report(server("member", status, check, weight), version=3))

    assert findings.version == 3
    assert findings.listeners == {"listener": "OPEN"}
    assert findings.members == {"member": found}


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (("UP", "L7OK"), ("DOWN", "L4CON"), "ERROR"),
        (("DOWN", "L4CON"), ("UP", "L7OK"), "ERROR"),
        (("UP", "L7OK"), ("UP", "INI"), "ONLINE"),
        (("UP", "INI"), ("UP", "INI"), None),
        (("MAINT", ""), ("UP", "L7OK"), "OFFLINE"),
    ],
)
def test_the_worst_server_of_a_member_counts(
    first: tuple[str, str], second: tuple[str, str], found: str | None
) -> None:
    """A pool that listeners use in two ways has two backends, each with checks of its own."""
    servers = [server("member", *statuses) for statuses in (first, second)]

    assert read_findings(report(*servers)).members == {"member": found}


@pytest.mark.parametrize(
    ("status", "check", "found"), [("UP", "PROCOK", "ONLINE"), ("UP", "INI", None), ("DOWN", "PROCERR", "ERROR")]
)
def test_a_server_has_the_status_of_the_server_that_it_tracks(status: str, check: str, found: str | None) -> None:
    """A pinged member serves in one backend and is checked in another, whose server does not serve."""
    servers = [server("member", status, ""), server("member", status, check, serves=False)]

    assert read_findings(report(*servers)).members == {"member": found}


def test_a_server_that_only_checks_is_not_a_finding() -> None:
    """The status of a server that only checks is not a finding, because it serves nobody."""
    assert read_findings(report(server("member", "UP", "PROCOK", serves=False))).members == {}


def test_rendered_names_are_found() -> None:
    """Each listener and each member of a rendered configuration is found once, a pinged member by the result of its
    pings."""
    lb, pool, pinged, listener, other = (new_id() for _ in range(5))
    members = [_member(lb, pool, 1), _member(lb, pinged, 2), _member(lb, pinged, 3)]
    tree = Tree(
        load_balancer=LoadBalancer(id=lb, admin_state_up=True),
        vips=[Vip(load_balancer_id=lb, position=0, ip_address="127.0.0.1")],
        listeners=[_listener(lb, listener, pool, 80), _listener(lb, other, pinged, 81)],
        pools=[_pool(lb, pool), _pool(lb, pinged)],
        members=members,
        health_monitors=[
            HealthMonitor(
                id=new_id(),
                load_balancer_id=lb,
                pool_id=pinged,
                type="PING",
                delay=1,
                timeout=1,
                max_retries=1,
                max_retries_down=1,
                admin_state_up=True,
            )
        ],
    )
    amphorae, endpoint = NoopAmphorae(), Endpoint("amphora", "noop://amphora", "amphora.noop")
    amphorae.push(endpoint, render(tree, "amphora", 1))
    amphorae.traffic.take_down(members[2].id)

    findings = read_findings(amphorae.statistics(endpoint))

    assert findings.listeners == {listener: "OPEN", other: "OPEN"}
    assert findings.members == {
        members[0].id: OperatingStatus.NO_MONITOR,
        members[1].id: OperatingStatus.ONLINE,
        members[2].id: OperatingStatus.ERROR,
    }


def _member(load_balancer_id: str, pool_id: str, port: int) -> Member:
    return Member(
        id=new_id(),
        load_balancer_id=load_balancer_id,
        pool_id=pool_id,
        address="127.0.0.1",
        protocol_port=port,
        weight=1,
        backup=False,
        admin_state_up=True,
    )


def _pool(load_balancer_id: str, pool_id: str) -> Pool:
    return Pool(
        id=pool_id,
        load_balancer_id=load_balancer_id,
        protocol="HTTP",
        lb_algorithm="ROUND_ROBIN",
        admin_state_up=True,
    )


def _listener(load_balancer_id: str, listener_id: str, pool_id: str, port: int) -> Listener:
    return Listener(
        id=listener_id,
        load_balancer_id=load_balancer_id,
        default_pool_id=pool_id,
        protocol="HTTP",
        protocol_port=port,
        admin_state_up=True,
        connection_limit=-1,
        timeout_client_data=1,
        timeout_member_connect=1,
        timeout_member_data=1,
        timeout_tcp_inspect=0,
    )
