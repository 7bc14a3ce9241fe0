"""The agent's settings, from its command line."""

from __future__ import annotations

import argparse
import grp
from dataclasses import dataclass
from pathlib import Path

from portico_agent import __version__


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The settings from the command line."""

    directory: Path
    """Where this agent keeps all its files; created if it does not exist."""

    address: str
    port: int
    """Where the API listens; port 0 lets the system choose."""

    ca: Path
    """Certificates of the authority that the controller's certificate must be signed by, PEM."""

    certificate: Path
    key: Path
    """The agent's own, PEM."""

    controller_name: str
    """Common name or DNS name that a client's certificate must be issued to."""

    haproxy: str | None
    """Path of HAProxy; None: the system's, or the packaged one if the system has none."""

    hard_stop_seconds: int
    """How long connections of a replaced HAProxy may stay open."""

    allow_ping: bool
    """Whether bundles can have PING monitors, for which HAProxy starts programs."""

    haproxy_group: int | None
    """The group of HAProxy's user, if HAProxy runs as another user, started by a separate supervisor
    (``portico-supervisor``). None if agent, supervisor and HAProxy run as one user and the agent starts the
    supervisor."""


def read_settings(arguments: list[str] | None = None) -> AgentSettings:
    """Read the command line. Exits the process with a message if it is wrong."""
    parser = argparse.ArgumentParser(prog="portico-agent", description="Runs amphorae on this host.")
    parser.add_argument("--version", action="version", version=f"portico-agent {__version__}")
    parser.add_argument("--directory", type=Path, required=True, help="where the agent keeps all its files")
    parser.add_argument("--listen", type=_read_listen, default=("127.0.0.1", 0), metavar="ADDRESS:PORT")
    parser.add_argument(
        "--ca", type=Path, required=True, help="the authority that signs the controller's certificate, PEM"
    )
    parser.add_argument("--certificate", type=Path, required=True, help="the agent's certificate, PEM")
    parser.add_argument("--key", type=Path, required=True, help="the key of the agent's certificate, PEM")
    parser.add_argument(
        "--controller-name", required=True, help="the name that the controller's certificate is issued to"
    )
    parser.add_argument(
        "--haproxy", help="path of HAProxy (default: the system's, or the packaged one if the system has none)"
    )
    parser.add_argument(
        "--hard-stop", type=int, default=300, metavar="SECONDS", help="how long a replaced HAProxy may keep draining"
    )
    parser.add_argument(
        "--allow-ping", action="store_true", help="allow PING monitors, for which HAProxy starts programs"
    )
    parser.add_argument(
        "--haproxy-group",
        type=_read_group,
        metavar="NAME or GID",
        help="HAProxy runs as another user with this group, started by portico-supervisor, which must be running",
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
