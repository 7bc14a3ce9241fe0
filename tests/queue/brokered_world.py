"""A world with requests on one side and workers on the other, and only the broker and the database between them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

from kombu.connection import Connection

from portico.drivers.registry import build_notifier
from portico.ports.notifier import Notifier
from portico.settings import MessagingSettings
from portico.worker.run_loop import RunLoop
from tests.support.waiting import wait_until
from tests.support.world import World, make_settings

NEVER = 3600.0
"""Seconds between two polls: longer than a test can take, so that workers only find operations of which they were
notified."""


class BrokeredWorld(World):
    """A world whose requests and workers each have their own notifier, as separate processes have."""

    def __init__(self, database_url: str, messaging: MessagingSettings, **worker: Any) -> None:
        super().__init__(make_settings(database_url, **{"poll_seconds": NEVER, **worker}))
        self.messaging = messaging
        self._notifiers: list[Notifier] = []
        self._loops: list[RunLoop] = []
        self.requests = self.make_requests(self.settings, self._build_notifier())

    def _build_notifier(self) -> Notifier:
        settings = self.settings.model_copy(update={"messaging": self.messaging})
        self._notifiers.append(build_notifier(settings))
        return self._notifiers[-1]

    def start_worker(self, **drivers: Any) -> RunLoop:
        """Start another worker. It is possible that it has not reached the broker yet."""
        loop = RunLoop(self.add_worker(notifier=self._build_notifier(), **drivers))
        loop.start()
        self._loops.append(loop)
        return loop

    def await_worker(self, loop: RunLoop) -> None:
        """Wait until messages reach a worker."""
        local = loop._notifier

        def woken() -> bool:
            seen = local.generation()
            self._notifiers[0].broadcast()
            local.wait(seen, 0.2)
            return local.generation() > seen

        wait_until(woken, "a message reaches the worker")

    def close(self) -> None:
        """Stop everything."""
        for loop in self._loops:
            loop.stop()
        for notifier in self._notifiers:
            notifier.close()
        super().close()

    # Requests

    def create(self, **values: Any) -> str:
        """Request a load balancer, and return the operation's id."""
        return self.requests.create("load_balancer", **values).operation_id

    def await_success(self, operation_ids: Iterable[str]) -> None:
        """Wait until all operations have succeeded."""
        for operation_id in operation_ids:
            wait_until(partial(self.has_succeeded, operation_id), f"operation {operation_id} is carried out")

    def has_succeeded(self, operation_id: str) -> bool:
        """Whether the operation has succeeded. Raises AssertionError if it has failed."""
        outcome = self.requests.outcome(operation_id)
        assert outcome is not None
        assert outcome.state != "FAILED", outcome.reason
        return outcome.state == "SUCCEEDED"

    # Direct access to the broker

    def publish(self, *bodies: bytes | dict[str, Any], content_type: str = "application/json") -> None:
        """Put messages into the queue unchanged. A dict is wrapped in oslo.messaging's envelope."""
        url = self.messaging.url.get_secret_value().replace("rabbit://", "amqp://", 1)
        with Connection(url) as connection, connection.Producer() as producer:  # type: ignore[no-untyped-call]
            for body in bodies:
                # The queue is named after its topic; the default exchange routes to every queue by its name.
                producer.publish(_encode(body), routing_key=self.messaging.topic, content_type=content_type)


def _encode(body: bytes | dict[str, Any]) -> bytes:
    if isinstance(body, bytes):
        return body
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(body)}).encode()
