"""Compare an agent's files with what it runs."""

from __future__ import annotations

from tests.agent.bundles import Recipe
from tests.agent.rig import AgentRig
from tests.support.bundles import haproxy_of, text_of
from tests.support.clients import fetch
from tests.support.waiting import wait_until


def check_that_files_are_what_runs(agent: AgentRig, recipe: Recipe) -> None:
    """Check that the running process has the servers, weights and marker of the current bundle, and that no push is
    half done."""
    bundle = agent.current_bundle()
    assert {(server.name, server.weight) for server in haproxy_of(bundle).servers} == {
        (server.name, server.weight) for server in agent.statistics().servers
    }

    def is_current() -> bool:
        status, _, marker = fetch(recipe.port)
        assert status == 200
        return f"set-header X-Marker {marker}\n" in text_of(bundle)

    # The former process may still accept a connection while it is being told to stop.
    wait_until(is_current, "the process is the one of the current bundle")
    assert agent.state().version == bundle.version
    assert not (agent.directory / "amphorae" / "amphora-1" / "pushing").exists()
