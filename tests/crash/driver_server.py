"""Drivers that survive the workers: those of a world, kept in the test's process and reached over a socket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from portico.drivers.amphora_noop import NoopAmphorae
from portico.drivers.compute_noop import NoopCompute
from portico.drivers.network_noop import NoopNetwork

Passed = Callable[[str], None]
"""Called when a driver call has returned, with its name, such as ``compute.ensure``."""


class DriverServer:
    """Serves the compute, network and amphora drivers of a world to worker processes, and records every call.

    Attributes:
        calls: (driver, method, first argument) of each call, in the order in which the calls began.
        address: the socket at which worker processes reach the drivers (``RemoteDriver``).
    """

    def __init__(self, directory: Path, compute: NoopCompute, network: NoopNetwork, amphorae: NoopAmphorae) -> None:
        self.compute = compute
        self.network = network
        self.amphorae = amphorae
        self.calls: list[tuple[str, str, Any]] = []
        self.address = str(directory / "drivers")
        self._listener = Listener(self.address, "AF_UNIX", backlog=64)
        self._closed = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop answering. Workers that still call get no answer. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        Client(self.address, "AF_UNIX").close()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def built(self) -> list[str]:
        """Ids of all amphorae that were ever requested, each once, in order."""
        ensured = (request.amphora_id for _, method, request in self.calls if method == "ensure")
        return list(dict.fromkeys(ensured))

    def dump(self) -> dict[str, Any]:
        """Everything outside the database, in a form that can be compared."""
        return {
            "places": dict(self.compute._placements),
            "deleted": set(self.compute._deleted),
            "vips": set(self.network.allocations()),
            "plugged": {amphora_id: request.vips for amphora_id, request in self.network._plugged.items()},
            "bundles": {amphora_id: taken.bundle for amphora_id, taken in self.amphorae._taken.items()},
        }

    def _accept(self) -> None:
        while True:
            connection = self._listener.accept()
            if self._closed:
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: Connection) -> None:
        with connection:
            while not self._closed:
                try:
                    driver, method, arguments = connection.recv()
                except (EOFError, ConnectionError):  # the worker has ended
                    return
                self.calls.append((driver, method, arguments[0] if arguments else None))
                answer: tuple[bool, Any]
                try:
                    answer = True, getattr(getattr(self, driver), method)(*arguments)
                except Exception as error:  # noqa: BLE001 - it is raised in the worker
                    answer = False, error
                try:
                    connection.send(answer)
                except ConnectionError:
                    return


class RemoteDriver:
    """A driver of a ``DriverServer``, used from a worker process. Each of the process's threads has its own connection.

    Args:
        address: the address of the server.
        name: ``compute``, ``network`` or ``amphorae``.
    """

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self._local = threading.local()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._call, method)

    def _call(self, method: str, *arguments: Any) -> Any:
        if not hasattr(self._local, "connection"):
            self._local.connection = Client(self._address, "AF_UNIX")
        self._local.connection.send((self._name, method, arguments))
        succeeded, value = self._local.connection.recv()
        if not succeeded:
            raise value
        return value


class Watched:
    """A driver whose calls are boundaries: ``before`` runs before each call, ``after`` when the call has returned."""

    def __init__(self, driver: Any, name: str, before: Callable[..., None], after: Passed) -> None:
        self._driver = driver
        self._name = name
        self._before = before
        self._after = after

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._call, method)

    def _call(self, method: str, *arguments: Any) -> Any:
        self._before(*arguments)
        value = getattr(self._driver, method)(*arguments)
        self._after(f"{self._name}.{method}")
        return value
