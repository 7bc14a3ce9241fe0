"""Amphora driver: talks to the agent that runs the amphora."""

from __future__ import annotations

from portico.drivers.agent_client import Agent, AgentClient
from portico.ports.amphora import AmphoraTraits, Endpoint
from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics


class AgentAmphorae:
    """Amphorae behind agents, over mutual TLS. Only the agent has state; this driver has none."""

    traits = AmphoraTraits(needs_agents=True, shared=True)

    def __init__(self, client: AgentClient) -> None:
        self._client = client

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Send the whole bundle to the agent."""
        return self._client.request(
            "PUT",
            _agent(endpoint),
            f"{_path(endpoint)}/configuration",
            PushResult.from_dict,
            content=bundle.to_dict(),
        )

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """Ask the agent what the amphora runs."""
        return self._client.request("GET", _agent(endpoint), _path(endpoint), AmphoraState.from_dict)

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """Ask the agent for the amphora's counters."""
        return self._client.request("GET", _agent(endpoint), f"{_path(endpoint)}/stats", Statistics.from_dict)

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """Ask the agent for the contents of the amphora's stick tables."""
        return self._client.request("GET", _agent(endpoint), f"{_path(endpoint)}/sessions", Sessions.from_dict)

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Send the agent the contents of another amphora's stick tables."""
        self._client.request(
            "PUT",
            _agent(endpoint),
            f"{_path(endpoint)}/sessions",
            lambda _nothing: None,
            content=sessions.to_dict(),
        )


def _path(endpoint: Endpoint) -> str:
    return f"/v1/amphorae/{endpoint.amphora_id}"


def _agent(endpoint: Endpoint) -> Agent:
    return Agent(endpoint.agent_url, endpoint.agent_name)
