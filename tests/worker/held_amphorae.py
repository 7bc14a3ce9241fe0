"""Amphorae whose calls can be held up: a worker that hangs in the middle of its work."""

from __future__ import annotations

import threading

from portico.drivers.amphora_noop import NoopAmphorae
from portico.ports.amphora import Endpoint
from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics
from tests.support.waiting import PATIENCE


class HeldAmphorae:
    """Passes calls on to others, the first push only after ``release``: the world of ``behind``, reached slowly.

    ``reached`` is set when the push has arrived here.
    """

    traits = NoopAmphorae.traits

    def __init__(self, behind: NoopAmphorae) -> None:
        self._behind = behind
        self._released = threading.Event()
        self.reached = threading.Event()

    def release(self) -> None:
        """Let the held push go on."""
        self._released.set()

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Wait for ``release``, then push."""
        self.reached.set()
        assert self._released.wait(PATIENCE), "nobody released the push"
        return self._behind.push(endpoint, bundle)

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """What would run."""
        return self._behind.state(endpoint)

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """What would have been counted."""
        return self._behind.statistics(endpoint)

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """What would be known."""
        return self._behind.sessions(endpoint)

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Let it be known."""
        self._behind.give_sessions(endpoint, sessions)
