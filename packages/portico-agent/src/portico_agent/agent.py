"""The agent as a whole: builds its parts, starts them, keeps a supervisor running and shuts down."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from portico_agent.amphorae import Amphorae
from portico_agent.api import Api
from portico_agent.failures import AgentFailure
from portico_agent.http_server import HttpServer
from portico_agent.logs import log
from portico_agent.programs.haproxy import HaproxyProgram
from portico_agent.programs.haproxy.binary import HAProxyBinary, HAProxyNotFound, locate_haproxy
from portico_agent.programs.haproxy.ping import PingNotPossible, prepare_ping
from portico_agent.pusher import Pusher
from portico_agent.settings import AgentSettings
from portico_agent.supervisor_client import SOCKET_NAME, SupervisorClient
from portico_agent.tls import Certificates
from portico_agent.unix_socket import connect_unix
from portico_files import make_private_directory
from portico_files.certificates import CertificatesUnusable

THREADS = 16
"""Number of amphorae that can be worked on at the same time."""

END_SECONDS = 20.0
"""How long pushes in progress may take to finish after SIGTERM."""

RETRY_SECONDS = 1.0

LOG_CHECK_SECONDS = 3600.0
LONGEST_LOG = 1024 * 1024
"""Bytes. HAProxy writes a line for every change of a server's health as long as it runs."""


class CannotStart(Exception):
    """The agent cannot start; the message is for the person who started it."""


async def run_agent(settings: AgentSettings) -> None:
    """Serve until SIGTERM or SIGINT; HAProxy and the supervisor keep running. SIGHUP reloads the certificates.

    Raises:
        CannotStart.
    """
    try:
        haproxy = locate_haproxy(settings.haproxy)
        ping = prepare_ping() if settings.allow_ping else None
        certificates = Certificates(settings.ca, settings.certificate, settings.key)
        context = certificates.load()
    except (HAProxyNotFound, PingNotPossible, CertificatesUnusable) as error:
        raise CannotStart(str(error)) from error
    lock = _prepare_directory(settings.directory, settings.haproxy_group)
    _log_choice(haproxy)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    supervisor = SupervisorClient(settings.directory, is_separate=settings.haproxy_group is not None)
    pusher = Pusher(supervisor, [HaproxyProgram(supervisor, haproxy.path, settings.hard_stop_seconds, ping)])
    amphorae = Amphorae(settings.directory, supervisor, pusher, settings.haproxy_group)
    server = HttpServer(Api(amphorae, haproxy).handle, settings.controller_name, context)
    loop.add_signal_handler(signal.SIGHUP, _reload_certificates, server, certificates)
    try:
        supervisor.ensure()
        await amphorae.recover()
        port = await server.listen(settings.address, settings.port)
    except (AgentFailure, OSError) as error:
        raise CannotStart(str(error)) from error
    watches = [
        asyncio.create_task(_keep_supervisor(settings.directory, supervisor, amphorae)),
        asyncio.create_task(_bound_logs(settings.directory)),
    ]
    _announce(settings, port)
    log("started", port=port, haproxy=haproxy.path, version=haproxy.version, amphorae=len(amphorae))
    await end.wait()
    await server.close(END_SECONDS)
    for watch in watches:
        watch.cancel()
    supervisor.close()
    os.close(lock)
    log("stopped")


def _log_choice(haproxy: HAProxyBinary) -> None:
    """Log which HAProxy was chosen and why, and which earlier candidates do not work."""
    for reason in haproxy.rejected:
        log(f"warning: skipped an HAProxy that does not work: {reason}")
    log(haproxy.describe())


def _prepare_directory(directory: Path, group: int | None) -> int:
    """Create and lock the directory; return the lock's descriptor. ``group``: that of HAProxy's user, if HAProxy has
    a user of its own."""
    try:
        for path in (directory, directory / "amphorae"):
            make_private_directory(path, group)
        make_private_directory(directory / "tombstones")
        lock = os.open(directory / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CannotStart(f"another agent is already running in {directory}") from error
    except OSError as error:
        raise CannotStart(str(error)) from error
    return lock


def _announce(settings: AgentSettings, port: int) -> None:
    """Write agent.json, which reports that the agent is ready, its port, and whether it runs PING monitors."""
    following = settings.directory / "agent.json.next"
    following.write_text(json.dumps({"port": port, "pid": os.getpid(), "allow_ping": settings.allow_ping}))
    following.rename(settings.directory / "agent.json")


def _reload_certificates(server: HttpServer, certificates: Certificates) -> None:
    """Admit only the clients that the files allow now. If the files are unchanged, no connection is disturbed: a
    program that finds an agent already running sends SIGHUP, in case the certificates were renewed in the meantime."""
    try:
        if not certificates.have_changed():
            log("certificates are unchanged")
            return
        server.renew(certificates.load())
    except CertificatesUnusable as error:
        log("certificates not reloaded, the previous ones stay in use", error=error)
    else:
        log("certificates reloaded")


async def _keep_supervisor(directory: Path, supervisor: SupervisorClient, amphorae: Amphorae) -> None:
    """Notice when the supervisor ends, start another one and hand the amphorae to it."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            with connect_unix(directory / SOCKET_NAME, 1.0) as connection:
                connection.setblocking(False)
                await loop.sock_recv(connection, 1)
        except OSError as error:
            log("supervisor unreachable", error=error)
        log("supervisor ended")
        amphorae.suspend()
        await _replace_supervisor(supervisor, amphorae)


async def _replace_supervisor(supervisor: SupervisorClient, amphorae: Amphorae) -> None:
    """Start another supervisor if none is running, and hand the amphorae to it; retry until that succeeds."""
    while True:
        try:
            supervisor.close()
            await asyncio.to_thread(supervisor.ensure)
            await amphorae.recover()
        except Exception as error:  # noqa: BLE001 - pushes resume only after this: any error may be temporary
            log("supervisor not replaced", error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _bound_logs(directory: Path) -> None:
    """Periodically truncate the logs of long-running processes, which write them in append mode."""
    while True:
        await asyncio.to_thread(_empty_long_logs, directory)
        await asyncio.sleep(LOG_CHECK_SECONDS)


def _empty_long_logs(directory: Path) -> None:
    for path in [directory / "supervisor.log", *directory.glob("amphorae/*/gen-*/*.log")]:
        try:
            if path.stat().st_size > LONGEST_LOG:
                os.truncate(path, 0)
        except FileNotFoundError:
            continue  # its generation was removed in the meantime
