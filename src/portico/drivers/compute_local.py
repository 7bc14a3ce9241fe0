"""Compute: amphorae on this host, through its agent."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from portico.drivers.agent_client import AgentClient
from portico.errors import AmphoraGone
from portico.ports.compute import Placement
from portico_wire import AmphoraList, AmphoraState


class LocalCompute:
    """This host. It takes any number of amphorae; the agent keeps them apart and remembers deleted ids.

    Args:
        client: how the agent is talked to.
        agent_url: where it listens.
    """

    def __init__(self, client: AgentClient, agent_url: str) -> None:
        self._client = client
        self._agent_url = agent_url
        self._host = socket.gethostname()
        self._ip = urlsplit(agent_url).hostname or ""

    def ensure(self, amphora_id: str) -> Placement:
        """Let the agent make the amphora, or find it."""
        self._client.request("PUT", self._agent_url, _path(amphora_id), AmphoraState.from_dict)
        return self._place(amphora_id)

    def find(self, amphora_id: str) -> Placement | None:
        """Ask the agent for the amphora."""
        try:
            self._client.request("GET", self._agent_url, _path(amphora_id), AmphoraState.from_dict)
        except AmphoraGone:
            return None
        return self._place(amphora_id)

    def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:
        """Let the agent drain, stop and remove the amphora."""
        self._client.request(
            "DELETE",
            self._agent_url,
            _path(amphora_id),
            _read_nothing,
            parameters={"drain": drain_seconds},
            extra_seconds=drain_seconds,
        )

    def owned(self) -> frozenset[str]:
        """Ask the agent for all it has."""
        return self._client.request("GET", self._agent_url, "/v1/amphorae", _read_ids)

    def _place(self, amphora_id: str) -> Placement:
        return Placement(amphora_id, self._host, self._agent_url, self._ip)


def _path(amphora_id: str) -> str:
    return f"/v1/amphorae/{amphora_id}"


def _read_ids(value: object) -> frozenset[str]:
    return frozenset(state.amphora_id for state in AmphoraList.from_dict(value).amphorae)


def _read_nothing(value: object) -> None:
    """A deletion has nothing to tell."""
