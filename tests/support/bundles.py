"""Bundles in tests: small ones as a controller would render them, the HAProxy program of a bundle, and changed
copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

from portico_wire import Backend, Bundle, Frontend, Haproxy, Programs, Server, Socket


class HaproxyChanges(TypedDict, total=False):
    """Fields of ``Haproxy``."""

    configuration: str
    frontends: tuple[Frontend, ...]
    backends: tuple[Backend, ...]
    servers: tuple[Server, ...]


def haproxy_of(bundle: Bundle) -> Haproxy:
    """The HAProxy program of a bundle. For an empty bundle, its configuration has no lines."""
    return bundle.programs.haproxy or Haproxy("", (), (), ())


def text_of(bundle: Bundle) -> str:
    """The HAProxy configuration of a bundle; "" if nothing is served."""
    return haproxy_of(bundle).configuration


def with_haproxy(bundle: Bundle, **changes: Unpack[HaproxyChanges]) -> Bundle:
    """A copy of the bundle with changed fields of its HAProxy program."""
    return replace(bundle, programs=Programs(replace(haproxy_of(bundle), **changes)))


def assemble_bundle(
    amphora_id: str,
    load_balancer_id: str,
    version: int,
    port: int,
    *,
    frontend: Sequence[str],
    backend: Sequence[str],
    servers: tuple[Server, ...],
    is_dynamic: bool = True,
) -> Bundle:
    """A bundle that a real HAProxy accepts: a frontend "listener" on a port of 127.0.0.1, and a backend "pool" behind
    it.

    Args:
        frontend: further lines of the frontend, in HAProxy's syntax.
        backend: further lines of the backend, without its servers.
        is_dynamic: whether servers of the backend can be added and removed at run time.
    """
    sticks = any(line.startswith("stick-table ") for line in backend)
    lines = [
        "defaults",
        "    mode http",
        "    timeout connect 2s",
        "    timeout client 20s",
        "    timeout server 20s",
        "    option idle-close-on-response",
        "    load-server-state-from-file global",
        "frontend listener",
        '    bind "fd@${PORTICO_BIND_LISTENER}"',
        *(f"    {line}" for line in frontend),
        "    default_backend pool",
        "backend pool",
        *(f"    {line}" for line in backend),
        *(f"    {server.line}" for server in servers),
    ]
    return Bundle(
        amphora_id=amphora_id,
        load_balancer_id=load_balancer_id,
        version=version,
        programs=Programs(
            Haproxy(
                configuration="".join(f"{line}\n" for line in lines),
                frontends=(Frontend("listener", "id-of-listener"),),
                backends=(Backend("pool", "id-of-pool", True, is_dynamic, sticks),),
                servers=servers,
            )
        ),
        sockets=(Socket("PORTICO_BIND_LISTENER", "127.0.0.1", port),),
    )
