"""Agents, certificates and origins for the tests of the agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agent.bundles import Member, Recipe
from tests.agent.rig import CONTROLLER, AgentRig
from tests.support.certificates import Authority, Pair
from tests.support.haproxies import HAPROXIES
from tests.support.origins import Origin
from tests.support.ports import find_free_port


@pytest.fixture(scope="session", params=list(HAPROXIES))
def haproxy_binary(request: pytest.FixtureRequest) -> str:
    """Each supported HAProxy: the packaged one, and the system's."""
    return str(HAPROXIES[request.param]())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the agents and their controller share."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="session")
def controller_pair(authority: Authority) -> Pair:
    """The controller's certificate."""
    return authority.issue(CONTROLLER)


@pytest.fixture
def agent(tmp_path: Path, authority: Authority, controller_pair: Pair, haproxy_binary: str) -> Iterator[AgentRig]:
    """A running agent, with each HAProxy."""
    with AgentRig(tmp_path / "agent", authority, controller_pair, haproxy_binary) as rig:
        rig.start()
        yield rig


@pytest.fixture
def plain_agent(tmp_path: Path, authority: Authority, controller_pair: Pair) -> Iterator[AgentRig]:
    """A running agent that chose its own HAProxy, for tests that do not depend on HAProxy."""
    with AgentRig(tmp_path / "agent", authority, controller_pair, None) as rig:
        rig.start()
        yield rig


@pytest.fixture
def origins() -> Iterator[list[Origin]]:
    """Three HTTP servers that keep connections open."""
    with ExitStack() as stack:
        yield [stack.enter_context(Origin(name, keeps=True)) for name in ("alpha", "beta", "gamma")]


@pytest.fixture
def recipe(origins: list[Origin]) -> Recipe:
    """A load balancer in front of alpha and beta."""
    members = tuple(Member(origin.name, origin.port) for origin in origins[:2])
    return Recipe(find_free_port(), members)
