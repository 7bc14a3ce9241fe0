"""Bundles for the amphora contract: small, and accepted by a real HAProxy."""

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
    """A frontend on 127.0.0.1 that redirects every request to ``answer``, and a backend with one server per weight,
    which no request reaches. ``extra`` is an additional line of the frontend, ``backend`` has additional lines of the
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
    """A bundle with nothing to serve."""
    return Bundle(amphora_id, str(uuid.uuid5(uuid.NAMESPACE_OID, amphora_id)), version)
