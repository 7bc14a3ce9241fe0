"""Configurations for the amphora contract: small, and taken by a real HAProxy."""

from __future__ import annotations

import uuid

from portico_wire import Backend, Bundle, Frontend, Haproxy, Programs, Server, Socket

DEFAULTS = """defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    option idle-close-on-response
    load-server-state-from-file global
"""


def has_table(lines: tuple[str, ...]) -> bool:
    """Whether one of the lines of a backend is a stick table."""
    return any(line.startswith("stick-table ") for line in lines)


def make_bundle(
    amphora_id: str,
    version: int,
    port: int,
    *,
    answer: str = "one",
    weights: tuple[int, ...] = (1,),
    extra: str = "",
    backend: tuple[str, ...] = (),
) -> Bundle:
    """A frontend on 127.0.0.1 that sends every request to ``answer``, and a backend with as many servers as there
    are weights, which no request reaches. ``extra`` is one more line of the frontend, ``backend`` are more of the
    backend."""
    servers = tuple(
        Server(
            "pool",
            f"member-{index}",
            f"id-{index}",
            f"server member-{index} 127.0.0.1:9 weight {weight}",
            "127.0.0.1",
            9,
            weight,
            "ready",
        )
        for index, weight in enumerate(weights)
    )
    lines = [
        "frontend listener",
        '    bind "fd@${PORTICO_BIND_0}"',
        f"    http-request redirect location {answer} code 302",
        *([f"    {extra}"] if extra else []),
        "    default_backend pool",
        "backend pool",
        "    balance roundrobin",
        *(f"    {line}" for line in backend),
        *(f"    {server.line}" for server in servers),
    ]
    return Bundle(
        amphora_id=amphora_id,
        load_balancer_id=str(uuid.uuid5(uuid.NAMESPACE_OID, amphora_id)),
        version=version,
        programs=Programs(
            Haproxy(
                configuration=DEFAULTS + "\n".join(lines) + "\n",
                frontends=(Frontend("listener", "id-of-listener"),),
                backends=(Backend("pool", "id-of-pool", serves=True, dynamic=True, sticks=has_table(backend)),),
                servers=servers,
            )
        ),
        sockets=(Socket("PORTICO_BIND_0", "127.0.0.1", port),),
    )


def make_empty_bundle(amphora_id: str, version: int) -> Bundle:
    """Nothing to serve."""
    return Bundle(amphora_id, str(uuid.uuid5(uuid.NAMESPACE_OID, amphora_id)), version)
