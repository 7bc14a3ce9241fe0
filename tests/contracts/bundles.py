"""Configurations for the amphora contract: small, and taken by a real HAProxy."""

from __future__ import annotations

import uuid

from portico_wire import Bundle, Server
from tests.support.bundles import assemble_bundle


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
    return assemble_bundle(
        amphora_id,
        str(uuid.uuid5(uuid.NAMESPACE_OID, amphora_id)),
        version,
        port,
        frontend=[f"http-request redirect location {answer} code 302", *([extra] if extra else [])],
        backend=["balance roundrobin", *backend],
        servers=servers,
    )


def make_empty_bundle(amphora_id: str, version: int) -> Bundle:
    """Nothing to serve."""
    return Bundle(amphora_id, str(uuid.uuid5(uuid.NAMESPACE_OID, amphora_id)), version)
