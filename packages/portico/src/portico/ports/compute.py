"""The compute port: where an amphora runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ComputeTraits:
    """What a compute driver declares about itself.

    Attributes:
        has_agents: in each place an agent listens at ``agent_url``. If False, the amphora drivers that need an agent
            cannot be used.
    """

    has_agents: bool


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """An amphora that needs a place, and everything that decides which place it gets.

    Attributes:
        amphora_id: identifies the place: another request with this id finds the same place, whatever its other fields
            are by then.
        load_balancer_id: the load balancer that the amphora will carry; None for a spare.
        flavor: the data of the flavor's profile; None if the load balancer has no flavor.
        zone: the name of the requested availability zone; None if none was named.
        apart_from: ``compute_id`` of the places whose hosts it should avoid, because the amphorae there carry the same
            load balancer.
    """

    amphora_id: str
    load_balancer_id: str | None = None
    flavor: Mapping[str, object] | None = None
    zone: str | None = None
    apart_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an amphora was put.

    Attributes:
        amphora_id: the amphora that has the place.
        compute_id: the driver's own name for the place (a host, the id of a VM).
        agent_url: the URL that its agent listens on.
        agent_name: the DNS name in that agent's certificate, so that no other agent can pose as it.
        lb_network_ip: its management address.
        zone: the availability zone that it was put in; None if there are no zones.
    """

    amphora_id: str
    compute_id: str
    agent_url: str
    agent_name: str
    lb_network_ip: str
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A place that is still being made. The work goes on in the background, so the caller need not wait: they ask again
    later.

    Attributes:
        amphora_id: the amphora that will have the place.
        reason: what is still missing, for people to read: "the instance boots".
        look_again_seconds: asking earlier than this is of no use.
    """

    amphora_id: str
    reason: str
    look_again_seconds: float


class Compute(Protocol):
    """Makes places for amphorae and removes them."""

    @property
    def traits(self) -> ComputeTraits:
        """What the driver declares about itself."""

    def ensure(self, request: PlacementRequest) -> Placement | Pending:
        """Make the amphora's place, or find the one that an earlier attempt made.

        Raises:
            NoCapacity: there is no place left.
            AmphoraGone: the amphora was deleted earlier; an id is never used twice.
            DriverUnavailable: the compute could not be reached or was too slow; the call can be retried.
        """

    def find(self, amphora_id: str) -> Placement | Pending | None:
        """Return the amphora's place, or None if it has none. Never makes one."""

    def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:
        """Remove the place and everything in it, even if it is still being made. Open connections get up to
        ``drain_seconds`` to finish. Deleting a place that does not exist is not an error."""

    def owned(self) -> frozenset[str]:
        """Return the ids of all amphorae that have a place here, or a pending one."""

    def probe(self) -> str:
        """Describe the system that places are made in, in one line for people. Raises DriverUnavailable if it does not
        answer."""
