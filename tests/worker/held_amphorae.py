"""Amphorae whose first push can be held, so that a worker hangs in the middle of its work."""

from __future__ import annotations

import threading

from portico.drivers.amphora_noop import NoopAmphorae
from portico.ports.amphora import Endpoint
from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics
from tests.support.waiting import PATIENCE


class HeldAmphorae:
    """Passes calls on to ``behind``, but the first push only after ``release``.

    ``reached`` is set when the push has arrived here.
    """

    traits = NoopAmphorae.traits

    def __init__(self, behind: NoopAmphorae) -> None:
        self._behind = behind
        self._released = threading.Event()
        self.reached = threading.Event()

    def release(self) -> None:
        """Let the held push continue."""
        self._released.set()

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Wait for ``release``, then push."""
        self.reached.set()
        assert self._released.wait(PATIENCE), "the push was not released"
        return self._behind.push(endpoint, bundle)

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """The state of the amphora behind."""
        return self._behind.state(endpoint)

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """The statistics of the amphora behind."""
        return self._behind.statistics(endpoint)

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """The sessions of the amphora behind."""
        return self._behind.sessions(endpoint)

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Give the sessions to the amphora behind."""
        self._behind.give_sessions(endpoint, sessions)
