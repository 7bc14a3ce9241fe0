"""What an agent is told on its command line."""

from __future__ import annotations

import argparse
import grp
from dataclasses import dataclass
from pathlib import Path

from portico_agent import __version__


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The command line, read."""

    directory: Path
    """Where everything of this agent is kept; made if it is not there."""

    address: str
    port: int
    """Where the API listens; port 0 lets the system choose."""

    ca: Path
    """Certificates of the authority that the controller's certificate must be signed by, PEM."""

    certificate: Path
    key: Path
    """The agent's own, PEM."""

    controller_name: str
    """Common name or DNS name that a client's certificate must be made out to."""

    haproxy: str | None
    """Path of HAProxy; None: the system's, else the packaged one."""

    hard_stop_seconds: int
    """How long connections of a replaced HAProxy may go on."""

    allow_ping: bool
    """Whether bundles may have PING monitors, for which HAProxy starts programs."""

    haproxy_group: int | None
    """The group of HAProxy's user, where that is another one and a supervisor of its own (``portico-supervisor``)
    starts HAProxy; None where agent, supervisor and HAProxy are one user and the agent starts the supervisor."""


def read_settings(arguments: list[str] | None = None) -> AgentSettings:
    """Read the command line; leaves the process with a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="portico-agent", description="Runs amphorae on this host.")
    parser.add_argument("--version", action="version", version=f"portico-agent {__version__}")
    parser.add_argument("--directory", type=Path, required=True, help="where everything of this agent is kept")
    parser.add_argument("--listen", type=_read_listen, default=("127.0.0.1", 0), metavar="ADDRESS:PORT")
    parser.add_argument("--ca", type=Path, required=True, help="the authority of the controller's certificate, PEM")
    parser.add_argument("--certificate", type=Path, required=True, help="the agent's certificate, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its key, PEM")
    parser.add_argument("--controller-name", required=True, help="name that the controller's certificate has")
    parser.add_argument("--haproxy", help="path of HAProxy (default: the system's, else the packaged one)")
    parser.add_argument(
        "--hard-stop", type=int, default=300, metavar="SECONDS", help="how long a replaced HAProxy may go on draining"
    )
    parser.add_argument(
        "--allow-ping", action="store_true", help="run PING monitors, for which HAProxy starts programs"
    )
    parser.add_argument(
        "--haproxy-group",
        type=_read_group,
        metavar="NAME or GID",
        help="HAProxy is another user's, with this group: portico-supervisor runs it, and is not started from here",
    )
    given = parser.parse_args(arguments)
    return AgentSettings(
        directory=given.directory.absolute(),
        address=given.listen[0],
        port=given.listen[1],
        ca=given.ca,
        certificate=given.certificate,
        key=given.key,
        controller_name=given.controller_name,
        haproxy=given.haproxy,
        hard_stop_seconds=given.hard_stop,
        allow_ping=given.allow_ping,
        haproxy_group=given.haproxy_group,
    )


def _read_group(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"there is no group {text}") from error


def _read_listen(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    if not address or not port.isdigit():
        raise argparse.ArgumentTypeError("must be ADDRESS:PORT")
    return address.strip("[]"), int(port)
