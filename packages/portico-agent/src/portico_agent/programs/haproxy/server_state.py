"""The server state file, through which a new HAProxy takes over the state of its predecessor's servers. Pure.

The dump of ``show servers state`` contains more than the results of health checks. It also has weights, ports and
maintenance, and a new process would prefer those to its own configuration. So a server is carried over only if its
address stays the same and it stays in service, and it gets the weight of the new configuration. Of these servers, only
the ones with a check of their own are carried over. A server that tracks another one has that one's state, which
HAProxy propagates when it reads the file. If the tracking server were carried over itself, it would keep that state
forever once it no longer tracks.
"""

from __future__ import annotations

from ipaddress import ip_address

from portico_wire import Haproxy, Server

COLUMNS = (
    *("be_id", "be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state", "srv_uweight"),
    *("srv_iweight", "srv_time_since_last_change", "srv_check_status", "srv_check_result", "srv_check_health"),
    *("srv_check_state", "srv_agent_state", "bk_f_forced_id", "srv_f_forced_id", "srv_fqdn", "srv_port", "srvrecord"),
    *("srv_use_ssl", "srv_check_port", "srv_check_addr", "srv_agent_addr", "srv_agent_port"),
)
"""Version 1 of the format: HAProxy 2.6 and 2.8 both write and read it."""

CHECK_CONFIGURED = 2
"""The bit of srv_check_state for a server with a health check."""

HEADER = f"1\n# {' '.join(COLUMNS)}\n"
"""A state without servers; HAProxy complains about a file without this header."""


def carry_server_state(dump: str, haproxy: Haproxy) -> str:
    """Make the state file of a new process that runs ``haproxy`` from its predecessor's dump.

    Nothing is carried over from a dump that is not of version 1: servers then start as configured.
    """
    lines = dump.splitlines()
    if lines[:2] != HEADER.splitlines():
        return HEADER
    servers = {(server.backend, server.name): server for server in haproxy.servers}
    kept = []
    for line in lines[2:]:
        values = dict(zip(COLUMNS, line.split(" "), strict=False))
        server = servers.get((values.get("be_name", ""), values.get("srv_name", "")))
        if server is None or len(values) != len(COLUMNS) or not _is_still_true(values, server):
            continue
        values |= {"srv_uweight": str(server.weight), "srv_iweight": str(server.weight)}
        kept.append(" ".join(values.values()))
    return HEADER + "".join(f"{line}\n" for line in kept)


def _is_still_true(values: dict[str, str], server: Server) -> bool:
    """Whether the server is in service, at the same address and checked, both before and after."""
    return (
        values["srv_admin_state"] == "0"
        and server.state == "ready"
        and _is_same_address(values["srv_addr"], server.address)
        and values["srv_port"] == str(server.port)
        and int(values["srv_check_state"]) & CHECK_CONFIGURED != 0
        and "check" in server.line.split(" ")
    )


def _is_same_address(dumped: str, address: str) -> bool:
    try:
        return ip_address(dumped) == ip_address(address)
    except ValueError:
        return False
