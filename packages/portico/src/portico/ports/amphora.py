"""The amphora port: how controllers talk to the agent that runs an amphora."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics


@dataclass(frozen=True, slots=True)
class AmphoraTraits:
    """What an amphora driver declares about itself.

    Attributes:
        needs_agents: it talks to agents, so amphorae must be placed by a compute that has them.
        shared: every process reaches the same amphora. If False, only the process that pushed a configuration can ask
            about it.
    """

    needs_agents: bool
    shared: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an amphora is reached: its id, the URL of its agent, and the name in that agent's certificate."""

    amphora_id: str
    agent_url: str
    agent_name: str


class Amphorae(Protocol):
    """Pushes configurations to amphorae and reads their state."""

    @property
    def traits(self) -> AmphoraTraits:
        """What the driver declares about itself."""

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Make the amphora run this configuration. Pushing the same bundle again changes nothing.

        Raises:
            ConfigurationRefused: the daemon refused the configuration; the previous one still runs.
            StaleVersion: the amphora has a newer version, so this caller is fenced.
            AddressInUse: another program listens on an address and port of the bundle.
            AmphoraGone: the amphora does not exist, or was deleted.
            DriverUnavailable: the agent could not be reached or was too slow; the call can be retried.
        """

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """Return what the amphora runs. Raises AmphoraGone or DriverUnavailable."""

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """Return the counters of the amphora's process since it started, and the state in which it sees each server.

        An amphora that runs nothing has no process, and returns no rows. Reading changes nothing. Raises AmphoraGone or
        DriverUnavailable."""

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """Return the server of each client whose session the amphora remembers. Raises AmphoraGone or
        DriverUnavailable."""

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Give an amphora the client sessions of the amphora that it replaces.

        Called before the first push, so that the amphora knows the clients when it begins to serve; and again after it,
        to add the clients that it does not know yet. A client belongs to a pool: every backend of that pool with a
        stick table learns the client, whatever the names of the backends in ``sessions``. If these disagree about a
        client, the one of the same name counts. Entries that a backend already has stay. Servers and pools that the
        amphora does not have are skipped. Raises AmphoraGone or DriverUnavailable."""
