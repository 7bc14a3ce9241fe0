"""What agents of the wire's version 1 have left: it goes with the last host that may have some.

They wrote no launches. How HAProxy was started is known: by the two files that are beside the bundle, on the bundle's
``binds``. The rest of the bundle is not looked at.
"""

from __future__ import annotations

import json
from pathlib import Path

from portico_agent.launches import Launch, Launches, ListeningSocket
from portico_agent.programs.haproxy.haproxy_program import ARGUMENTS, UNIX_SOCKETS, HaproxyProgram


def read_wire_v1(directory: Path) -> Launches:
    """What starts the generation in a directory. Raises OSError, and ValueError where none of version 1 has written
    it."""
    bundle = json.loads((directory / "bundle.json").read_bytes())
    if not isinstance(bundle, dict) or "wire" in bundle or not isinstance(bundle.get("haproxy"), str):
        raise ValueError("nothing says how it was started")
    if not bundle["haproxy"]:
        return {}
    try:
        sockets = tuple(
            ListeningSocket(str(bind["name"]), str(bind["address"]), int(bind["port"])) for bind in bundle["binds"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"its sockets cannot be read: {error!r}") from error
    return {HaproxyProgram.name: Launch(("haproxy", *ARGUMENTS), sockets, UNIX_SOCKETS)}
