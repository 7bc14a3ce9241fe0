"""Compute driver: places amphorae on this host, through its agent."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from portico.drivers.agent_client import Agent, AgentClient
from portico.errors import AmphoraGone
from portico.ports.compute import ComputeTraits, Placement, PlacementRequest
from portico_wire import AgentInfo, AmphoraList, AmphoraState


class LocalCompute:
    """This host. It has room for any number of amphorae; the agent keeps them separate and remembers deleted ids.

    There is only one host, so flavors, zones and ``apart_from`` have no effect, and no place is ever pending.

    Args:
        client: the HTTP client for agents.
        agent: the agent of this host.
    """

    traits = ComputeTraits(has_agents=True)

    def __init__(self, client: AgentClient, agent: Agent) -> None:
        self._client = client
        self._agent = agent
        self._host = socket.gethostname()
        self._ip = urlsplit(agent.url).hostname or ""

    def ensure(self, request: PlacementRequest) -> Placement:
        """Make the agent create the amphora, or find it there."""
        self._client.request("PUT", self._agent, _path(request.amphora_id), AmphoraState.from_dict)
        return self._place(request.amphora_id)

    def find(self, amphora_id: str) -> Placement | None:
        """Ask the agent for the amphora."""
        try:
            self._client.request("GET", self._agent, _path(amphora_id), AmphoraState.from_dict)
        except AmphoraGone:
            return None
        return self._place(amphora_id)

    def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:
        """Make the agent drain, stop and remove the amphora."""
        self._client.request(
            "DELETE",
            self._agent,
            _path(amphora_id),
            _read_nothing,
            parameters={"drain": drain_seconds},
            extra_seconds=drain_seconds,
        )

    def owned(self) -> frozenset[str]:
        """Ask the agent for the ids of all its amphorae."""
        return self._client.request("GET", self._agent, "/v1/amphorae", _read_ids)

    def probe(self) -> str:
        """Ask the agent for its version, HAProxy and number of amphorae."""
        info = self._client.request("GET", self._agent, "/v1/info", AgentInfo.from_dict)
        what = f"{info.agent_version} with HAProxy {info.haproxy_version} ({info.haproxy_path})"
        return f"{self._agent.url}: {what}, {info.amphorae} amphorae"

    def _place(self, amphora_id: str) -> Placement:
        return Placement(amphora_id, self._host, self._agent.url, self._agent.name, self._ip)


def _path(amphora_id: str) -> str:
    return f"/v1/amphorae/{amphora_id}"


def _read_ids(value: object) -> frozenset[str]:
    return frozenset(state.amphora_id for state in AmphoraList.from_dict(value).amphorae)


def _read_nothing(value: object) -> None:
    """Ignore the response: a deletion returns no data."""
