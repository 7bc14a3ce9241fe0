"""Where an amphora's agent is, and its name."""

from __future__ import annotations

from portico.errors import AmphoraGone, DriverUnavailable
from portico.ports.amphora import Endpoint
from portico.ports.compute import Compute, Placement
from portico.store.runs.amphorae import record_agent
from portico.store.sql.database import Database


def find_endpoint(
    database: Database, compute: Compute, amphora_id: str, agent_url: str | None, agent_name: str | None
) -> Endpoint:
    """How to reach an amphora, according to its row. A row from before names were recorded has none: then compute is
    asked, and the agent's URL and name are recorded for the next time.

    Raises:
        AmphoraGone: the amphora has no place.
        DriverUnavailable: compute does not answer, or the place is still being built.
    """
    if agent_url is not None and agent_name is not None:
        return Endpoint(amphora_id, agent_url, agent_name)
    found = compute.find(amphora_id)
    if found is None:
        raise AmphoraGone(f"amphora {amphora_id} has no place")
    if not isinstance(found, Placement):
        raise DriverUnavailable(f"amphora {amphora_id}: {found.reason}")
    record_agent(database, amphora_id, agent_url, found.agent_url, found.agent_name)
    return Endpoint(amphora_id, found.agent_url, found.agent_name)
