"""Which drivers the registry builds from settings."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from portico.bootstrap.health import build_health_drivers
from portico.bootstrap.worker import build_worker
from portico.drivers import registry
from portico.drivers.agent_client import AgentClient
from portico.drivers.local_ca import ensure_local_certificates
from portico.errors import DriverError, InvalidInput
from portico.settings import (
    AgentAmphoraSettings,
    HealthSettings,
    LocalComputeSettings,
    NoopAmphoraSettings,
    NoopComputeSettings,
    NoopNetworkSettings,
    Settings,
)
from portico.settings.reading import find_groups
from tests.contracts.conftest import AGENT_NAME
from tests.contracts.scripted_agent import Answer, serve_script
from tests.support.waiting import PATIENCE

NOOP = Settings(compute=NoopComputeSettings(), network=NoopNetworkSettings(), amphora=NoopAmphoraSettings())


@pytest.mark.parametrize(
    ("group", "table"),
    [("network", registry.NETWORKS), ("compute", registry.COMPUTES), ("amphora", registry.AMPHORAE)],
)
def test_every_driver_that_can_be_named_can_be_built(group: str, table: dict[type, object]) -> None:
    """Each group of settings has its line in the table, and no name is used twice."""
    models = find_groups(Settings)[group]
    assert set(table) == set(models)
    assert len({model.model_fields["driver"].default for model in models}) == len(models)


def test_incompatible_drivers_are_refused_by_name(tmp_path: Path) -> None:
    """Drivers that call agents need a compute that has agents, and the other way round."""
    agents = AgentAmphoraSettings(certificates=tmp_path / "none")  # the error comes before they are looked for
    for settings in (
        Settings(compute=NoopComputeSettings(), amphora=agents),
        Settings(compute=LocalComputeSettings(), amphora=NoopAmphoraSettings()),
    ):
        with pytest.raises(InvalidInput) as refusal:
            registry.build_amphora_drivers(settings)
        assert refusal.value.field == "amphora.driver"


def test_missing_certificates_are_reported_when_drivers_are_built(tmp_path: Path) -> None:
    """Missing certificates are reported on start and not with the first load balancer."""
    settings = Settings(amphora=AgentAmphoraSettings(certificates=tmp_path / "none"))
    for build in (registry.build_amphora_drivers, build_worker, build_health_drivers):
        with pytest.raises(DriverError, match=r"ca\.pem"):
            build(settings)


def test_amphorae_of_one_process_have_no_health_manager() -> None:
    """A health manager could not reach the amphorae of the worker's process."""
    with pytest.raises(InvalidInput, match="no other process can reach them") as refusal:
        build_health_drivers(NOOP)
    assert refusal.value.field == "amphora.driver"


def test_a_health_manager_has_its_own_timeout_for_agents(tmp_path: Path) -> None:
    """The health manager's own timeout applies to each of its drivers that calls an agent."""
    agents = AgentAmphoraSettings(certificates=tmp_path, request_seconds=600)
    ensure_local_certificates(tmp_path, AGENT_NAME, agents.controller_name)
    with serve_script(tmp_path) as (url, script):
        compute = LocalComputeSettings(agent_url=url)
        settings = Settings(compute=compute, amphora=agents, health=HealthSettings(request_seconds=0.05))
        drivers = build_health_drivers(settings)
        never = threading.Event()
        script.answers += [Answer(delay=never)] * 2
        with pytest.raises(DriverError, match="timed out"):
            drivers.compute.find("amphora")
        never.set()
        drivers.close()


def test_a_given_client_is_shared_and_left_open(tmp_path: Path) -> None:
    """Compute and amphorae call agents with the same client, which its owner closes."""
    agents = AgentAmphoraSettings(certificates=tmp_path)
    ensure_local_certificates(tmp_path, AGENT_NAME, agents.controller_name)
    with serve_script(tmp_path) as (url, script):
        settings = Settings(compute=LocalComputeSettings(agent_url=url), amphora=agents)
        client = AgentClient(agents)
        drivers = registry.build_amphora_drivers(settings, client=client)
        for _ in range(2):
            with pytest.raises(DriverError):
                drivers.compute.owned()
            drivers.close()
        assert script.connections == 1
        client.close()


@pytest.mark.parametrize(
    ("build", "settings"),
    [("build_network", "Settings()"), ("build_notifier", "Settings()"), ("build_amphora_drivers", "noop")],
)
def test_a_driver_is_imported_when_it_is_built(build: str, settings: str) -> None:
    """An API does not import the client of agents, and without a broker nothing of messaging is imported."""
    program = (
        "import sys; from portico.drivers.registry import *; from portico.settings import *\n"
        "noop = Settings(compute=NoopComputeSettings(), amphora=NoopAmphoraSettings())\n"
        f"{build}({settings}); print(*[one for one in ('httpx', 'oslo_messaging', 'cryptography') "
        "if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split() == []
