"""Reads generations that agents of version 1 of the wire left behind. Remove this module once no host can have any.

Those agents wrote no launches, but it is known how they started HAProxy: from the two files beside the bundle, on the
bundle's ``binds``. The rest of the bundle is ignored.
"""

from __future__ import annotations

import json
from pathlib import Path

from portico_agent.launches import Launch, Launches, ListeningSocket
from portico_agent.programs.haproxy.haproxy_program import ARGUMENTS, UNIX_SOCKETS, HaproxyProgram


def read_wire_v1(directory: Path) -> Launches:
    """How the programs of the generation in a directory are started. Raises OSError, and ValueError if the generation
    was not written by an agent of version 1."""
    bundle = json.loads((directory / "bundle.json").read_bytes())
    if not isinstance(bundle, dict) or "wire" in bundle or not isinstance(bundle.get("haproxy"), str):
        raise ValueError("nothing records how its programs were started")
    if not bundle["haproxy"]:
        return {}
    try:
        sockets = tuple(
            ListeningSocket(str(bind["name"]), str(bind["address"]), int(bind["port"])) for bind in bundle["binds"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"its sockets cannot be read: {error!r}") from error
    return {HaproxyProgram.name: Launch(("haproxy", *ARGUMENTS), sockets, UNIX_SOCKETS)}
