"""Counts round trips on the socket between the database driver and its server."""

from __future__ import annotations

import selectors
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import make_url


class Relay:
    """Relays bytes between clients and a server's Unix socket, and counts round trips.

    A round trip is everything that a client sends after the server has sent something, up to the server's next bytes. A
    statement, BEGIN, COMMIT or ROLLBACK costs one if the driver sends it alone; several that are sent together cost
    one. ``url`` is the URL of the database through the relay.
    """

    def __init__(self, url: str, directory: Path) -> None:
        parsed = make_url(url)
        directory.mkdir(exist_ok=True)
        if parsed.get_backend_name() == "postgresql":
            port = str(parsed.query["port"])
            self._target = Path(str(parsed.query["host"])) / f".s.PGSQL.{port}"
            path, query = directory / f".s.PGSQL.{port}", {"host": str(directory)}
        else:
            self._target = Path(str(parsed.query["unix_socket"]))
            path = directory / "mariadb"
            query = {"unix_socket": str(path)}
        path.unlink(missing_ok=True)
        self.url = parsed.update_query_dict(query).render_as_string(hide_password=False)
        self.round_trips = 0
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, name="relay", daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close once the clients have disconnected."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10.0)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # shut down
            thread = threading.Thread(target=self._carry, args=(client,), name="relay", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, selectors.DefaultSelector() as ready:
            server.connect(str(self._target))
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            server_spoke = True
            while True:
                for key, _ in ready.select():
                    source, sink = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        if source is server:
                            server_spoke = True
                        elif server_spoke:
                            server_spoke = False
                            with self._lock:
                                self.round_trips += 1
                        sink.sendall(data)
                    except ConnectionError:
                        return
