"""PING monitors: HAProxy has no ICMP check, so it starts a program for each check if the operator allows that.

The program is ``ping-check``, beside this module; it runs the system's ``ping``. The agent writes both paths to
HAProxy's global section, so that neither is ever part of a bundle. Without ``--allow-ping`` the section has no such
lines: a bundle with PING monitors is refused here, and HAProxy would not run a program either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from portico_agent.failures import Refused
from portico_wire import PING_PATH_VARIABLE, PING_VARIABLE, Haproxy

PROGRAM = Path(__file__).with_name("ping-check")

TRY_SECONDS = 10

PING_BEGIN = "    external-check\n"
"""The first of the lines for pings, which are the last ones of the global section."""


class PingNotPossible(Exception):
    """This host cannot ping. The message names what is missing."""


def prepare_ping() -> str:
    """Find what PING monitors need, and try it by pinging this host. Return the lines for HAProxy's global section.

    Raises:
        PingNotPossible.
    """
    ping = shutil.which("ping")
    if ping is None:
        raise PingNotPossible("--allow-ping needs the program ping, which is not on PATH (Debian: iputils-ping)")
    if not os.access(PROGRAM, os.X_OK):
        raise PingNotPossible(f"--allow-ping needs {PROGRAM} to be executable")
    try:
        command = [ping, "-c", "1", "-n", "-W", "1", "--", "127.0.0.1"]
        tried = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TRY_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise PingNotPossible(f"{ping} cannot be run: {error}") from error
    # The host may be configured not to answer pings: then only the status shows it. Real failures have a message too.
    if tried.returncode != 0 and tried.stderr:
        raise PingNotPossible(
            f"{ping} does not work for this user (it needs CAP_NET_RAW, or the user's group in "
            f"net.ipv4.ping_group_range): {tried.stderr.strip()}"
        )
    # HAProxy sets no_new_privs, under which ping gets no file capabilities; only root's own capabilities remain. Where
    # an ordinary user can ping only because of ping's file capabilities, HAProxy must not set it. Measured with 2.6 and
    # 2.8.
    setuid = "" if os.geteuid() == 0 else "    insecure-setuid-wanted\n"
    return (
        f"{PING_BEGIN}"
        f"    insecure-fork-wanted\n{setuid}"
        f"    setenv {PING_VARIABLE} {_quote(PROGRAM)}\n"
        f"    setenv {PING_PATH_VARIABLE} {_quote(Path(ping).parent.absolute())}\n"
    )


def refuse_ping(haproxy: Haproxy) -> None:
    """Refuse a configuration with PING monitors, on a host that does not allow them.

    Raises:
        Refused.
    """
    if any(line.strip() == "option external-check" for line in haproxy.configuration.split("\n")):
        raise Refused("PING monitors are not allowed on this host: its agent runs without --allow-ping", log="")


def _quote(path: Path) -> str:
    """Quote a path for HAProxy's configuration: it interprets nothing within single quotes."""
    if not str(path).isprintable():
        raise PingNotPossible(f"the path {str(path)!r} cannot be written in HAProxy's configuration")
    return "'" + str(path).replace("'", "'\\''") + "'"
