"""Amphora: talking to the agent that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics


@dataclass(frozen=True, slots=True)
class AmphoraTraits:
    """What a way of talking to amphorae is like.

    Attributes:
        needs_agents: it talks to agents: amphorae are to be in a compute that has them.
        shared: every process that talks to an amphora talks to the same one. Where not, what one process pushed no
            other can ask about.
    """

    needs_agents: bool
    shared: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which amphora, where its agent listens, and the name in that agent's certificate."""

    amphora_id: str
    agent_url: str
    agent_name: str


class Amphorae(Protocol):
    """Pushes configurations to amphorae and asks them how they are."""

    @property
    def traits(self) -> AmphoraTraits:
        """What it is like."""

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Make the amphora run this configuration. Pushing the same bundle again changes nothing.

        Raises:
            ConfigurationRefused: the daemon refused it; what ran before still runs.
            StaleVersion: the amphora has a newer version: this caller is fenced.
            AddressInUse: something else listens on an address and port of the bundle.
            AmphoraGone: there is no such amphora (any more).
            DriverUnavailable: worth trying again.
        """

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """What runs. Raises AmphoraGone or DriverUnavailable."""

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """What the amphora's process has counted since it started, and how it finds each server to be. Where nothing
        runs there is no process and there are no rows. Asking changes nothing. Raises AmphoraGone or
        DriverUnavailable."""

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """Which server each client belongs to that the amphora remembers. Raises AmphoraGone or DriverUnavailable."""

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Let an amphora know the clients of the one that it replaces: before its first push, so that it knows them
        when it begins to serve, and after it, which adds those that it does not know. A client belongs to a pool: each
        backend of it with a stick table knows him, whatever the backends are called that he is told of; where these
        differ about him, the one that is called alike counts. What a backend knows itself stays. Servers and pools that
        it does not have are passed over. Raises AmphoraGone or DriverUnavailable."""
