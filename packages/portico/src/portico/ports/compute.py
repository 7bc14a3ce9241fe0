"""Compute: where an amphora runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ComputeTraits:
    """What a compute is like.

    Attributes:
        has_agents: in each of its places an agent listens at ``agent_url``. Without them there is nobody to talk to.
    """

    has_agents: bool


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """An amphora that is to have a place, and all that matters for which.

    Attributes:
        amphora_id: whose. It identifies the place: asking again finds it, whatever else the request says by then.
        load_balancer_id: which load balancer it will carry; None for a spare.
        flavor: the data of the flavor's profile; None where the load balancer has no flavor.
        zone: the name of the availability zone that it is to be in; None where none was named.
        apart_from: ``compute_id`` of places that it should not share a host with, because what is there carries the
            same load balancer.
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
        amphora_id: whose place it is.
        compute_id: the driver's own name of the place (a host, a VM's id).
        agent_url: where its agent listens.
        agent_name: the DNS name in that agent's certificate: no other agent may pose as it.
        lb_network_ip: the address that it is managed by.
        zone: the availability zone that it came to be in; None where there are none.
    """

    amphora_id: str
    compute_id: str
    agent_url: str
    agent_name: str
    lb_network_ip: str
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A place that is on its way. What was begun goes on by itself: whoever wants it looks again, and need not wait.

    Attributes:
        amphora_id: whose place it is.
        reason: what it waits for, for people: "the instance boots".
        look_again_seconds: before that, looking is of no use.
    """

    amphora_id: str
    reason: str
    look_again_seconds: float


class Compute(Protocol):
    """Gives amphorae a place and takes it back."""

    @property
    def traits(self) -> ComputeTraits:
        """What it is like."""

    def ensure(self, request: PlacementRequest) -> Placement | Pending:
        """Make the amphora's place, or find the one that an earlier try made.

        Raises:
            NoCapacity: there is none to be had.
            AmphoraGone: it was deleted before; an id is never used twice.
            DriverUnavailable: worth trying again.
        """

    def find(self, amphora_id: str) -> Placement | Pending | None:
        """The amphora's place, or None where it has none. Looking makes nothing."""

    def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:
        """Take the place away with everything in it, also one that is on its way; connections get up to
        ``drain_seconds`` to finish. Deleting what is not there is no error."""

    def owned(self) -> frozenset[str]:
        """Ids of all amphorae that have a place here, or will have."""

    def probe(self) -> str:
        """What places are made in, in a line for people. Raises DriverUnavailable where it does not answer."""
