"""The supervisor's loop: handles commands, reaps children and restarts programs when it is time."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import time

from portico_agent.supervisor.instances import Supervisor, log_line
from portico_agent.supervisor.sockets import Refusal

FIRST_CONTACT_SECONDS = 10.0
"""How long a new supervisor waits for its agent before it considers itself idle."""

SOCKET_NAME = "supervisor.sock"

LONGEST_LINE = 1024 * 1024

MOST_DESCRIPTORS = 65_536
"""One for each listening socket. Not more, because an HAProxy that starts programs closes every possible descriptor
number."""

REFUSED_SECONDS = 0.1
"""The pause after a connection could not be accepted."""


class Loop:
    """Waits for commands, for children to end and for the time of the next restart."""

    def __init__(self, supervisor: Supervisor, listener: socket.socket, *, stays: bool) -> None:
        self._supervisor = supervisor
        self._listener = listener
        self._stays = stays
        self._is_ending = self._is_leaving = False
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, bytearray] = {}
        self._first_contact_until = time.monotonic() + FIRST_CONTACT_SECONDS
        self._wakeup, writer = socket.socketpair()
        writer.setblocking(False)
        self._wakeup.setblocking(False)
        self._writer = writer
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._leave)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def _end(self, *_: object) -> None:
        self._is_ending = True

    def _leave(self, *_: object) -> None:
        self._is_leaving = True

    def run(self) -> None:
        """Serve until told to end or to leave, or until idle."""
        while not self._is_ending and not self._is_leaving and not self._is_idle():
            pause = self._supervisor.seconds_to_next_respawn()
            if not self._stays and not self._clients and not self._supervisor.instances:
                pause = max(0.0, self._first_contact_until - time.monotonic())
            for key, _ in self._selector.select(pause):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wakeup:
                    self._wakeup.recv(4096)
                    self._supervisor.reap()
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)
            self._supervisor.respawn()
        if self._is_ending:
            self._supervisor.end_all()

    def _accept(self) -> None:
        try:
            client, _address = self._listener.accept()
        except OSError as error:
            # The client waits in the backlog. Whatever the error is (most likely too many open files), it must not end
            # this process, and HAProxy with it.
            log_line(f"cannot accept a connection: {error}")
            time.sleep(REFUSED_SECONDS)
            return
        self._clients[client] = bytearray()
        self._selector.register(client, selectors.EVENT_READ)

    def _is_idle(self) -> bool:
        if self._stays or self._clients or self._supervisor.instances:
            return False
        return time.monotonic() >= self._first_contact_until

    def _read(self, client: socket.socket) -> None:
        self._first_contact_until = 0.0
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        buffer = self._clients[client]
        buffer += data
        if not data or len(buffer) > LONGEST_LINE:
            self._drop(client)
            return
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            try:
                client.sendall(json.dumps(self._reply(line)).encode() + b"\n")
            except OSError:
                self._drop(client)
                return

    def _reply(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise Refusal("invalid", "a command must be an object")
            return {"ok": True, **self._supervisor.answer(request)}
        except Refusal as error:
            return {"ok": False, "code": error.code, "error": str(error), "reason": error.reason}
        except (ValueError, KeyError, TypeError) as error:
            return {"ok": False, "code": "invalid", "error": repr(error), "reason": ""}
        except OSError as error:
            return {"ok": False, "code": "unavailable", "error": str(error), "reason": ""}

    def _drop(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._clients[client]
        client.close()


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(directory: str, options: str) -> None:
    """Serve the agent's directory. It is not an error if another supervisor already serves it: this one ends.

    Args:
        directory: absolute path.
        options: a JSON object. ``stays``: keep running even without an agent and without instances. ``become``: words
            that are put before a command line to run it as HAProxy's user, whose number is ``uid``; without them, that
            is this process's own user.
    """
    os.chdir(directory)
    os.umask(0o077)
    _allow_descriptors()
    lock = os.open("supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log_line("another supervisor already serves this directory")
        return
    # Padded to a fixed width and written in one call, so that a reader finds either the former pid or this one.
    os.pwrite(lock, f"{os.getpid():<10}\n".encode(), 0)
    if os.path.lexists(SOCKET_NAME):
        os.unlink(SOCKET_NAME)  # noqa: PTH108 - pathlib would be a tenth of this process's memory
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Relative to the working directory, because the path of a UNIX socket can have 107 characters at most.
    listener.bind(SOCKET_NAME)
    listener.listen(16)
    log_line(f"started pid={os.getpid()}")
    given = json.loads(options)
    supervisor = Supervisor(given.get("become", []), given.get("uid", os.geteuid()))
    Loop(supervisor, listener, stays=given.get("stays", False)).run()
    os.unlink(SOCKET_NAME)  # noqa: PTH108 - as above
    log_line("stopped")
