"""A host with a real agent for the drivers that need one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portico.drivers.agent_client import Agent, AgentClient
from portico.drivers.compute_local import LocalCompute
from portico.drivers.local_agent_process import LocalAgent, ensure_local_agent
from portico.drivers.local_ca import ensure_local_certificates
from portico.settings import AgentAmphoraSettings, LocalComputeSettings

AGENT_NAME = LocalComputeSettings().agent_name
ANY_PORT = Agent("https://127.0.0.1:0", AGENT_NAME)


@dataclass(frozen=True)
class AgentHost:
    """A running agent on a free port, and a client for it."""

    directory: Path
    settings: AgentAmphoraSettings
    client: AgentClient
    agent: LocalAgent


@pytest.fixture(scope="session")
def agent_host(run_directory: Path) -> Iterator[AgentHost]:
    """One agent for all contract tests; in the end its amphorae are deleted, and it is stopped."""
    directory = run_directory / "contracts"
    settings = make_amphora_settings(directory / "certificates")
    ensure_local_certificates(settings.certificates, AGENT_NAME, settings.controller_name)
    client = AgentClient(settings)
    agent = ensure_local_agent(directory, ANY_PORT, settings, client)
    try:
        yield AgentHost(directory, settings, client, agent)
        compute = LocalCompute(client, agent.identity)
        for amphora_id in compute.owned():
            compute.delete(amphora_id)
    finally:
        client.close()
        agent.stop()


def make_amphora_settings(certificates: Path) -> AgentAmphoraSettings:
    """Settings with limits that suit a test."""
    return AgentAmphoraSettings(certificates=certificates, connect_seconds=5, request_seconds=30)
