"""How an agent reads HAProxy's statistics."""

from __future__ import annotations

from portico_agent.programs.haproxy.names import Names
from portico_agent.programs.haproxy.statistics import parse_statistics
from tests.agent.bundles import Member, Recipe
from tests.support.bundles import haproxy_of

COLUMNS = (
    *("pxname", "svname", "scur", "stot", "bin", "bout", "econ", "eresp", "ereq", "status", "weight"),
    *("check_status", "req_tot"),
)
ROWS = (
    ("listener", "FRONTEND", "OPEN", ""),
    ("pool", "alpha", "UP 1/2", "* L4OK"),
    ("pool", "stranger", "UP", "L4OK"),
    ("pool", "BACKEND", "UP", ""),
    ("elsewhere", "FRONTEND", "OPEN", ""),
)


def show_stat() -> str:
    """HAProxy's output."""
    lines = [
        ",".join((proxy, name, "1", "2", "3", "4", "", "", "", status, "5", check, ""))
        for proxy, name, status, check in ROWS
    ]
    return "\n".join(["# " + ",".join(COLUMNS), *lines])


def test_rows_are_matched_to_the_objects_of_the_bundle() -> None:
    """The running bundle, not the names, tells which object a row belongs to. Rows that the bundle does not name, such
    as those left by a failed change, are left out."""
    names = Names.of(haproxy_of(Recipe(8080, (Member("alpha", 9001),)).at(1)))
    [listener], [server] = parse_statistics(show_stat(), names)
    assert (listener.listener_id, listener.name, listener.bytes_in) == ("id-of-listener", "listener", 3)
    assert (server.pool_id, server.member_id, server.serves) == ("id-of-pool", "id-of-alpha", True)
    assert (server.backend, server.name, server.status, server.check) == ("pool", "alpha", "UP", "L4OK")
