"""Compute: where an amphora runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an amphora was put.

    ``compute_id`` is the driver's own name of the place (a host, a VM's id); ``agent_url`` is where its agent listens.
    """

    amphora_id: str
    compute_id: str
    agent_url: str
    lb_network_ip: str


class Compute(Protocol):
    """Gives amphorae a place and takes it back."""

    def ensure(self, amphora_id: str) -> Placement:
        """Make the amphora's place, or find the one that an earlier try made.

        Raises:
            NoCapacity: there is none to be had.
            AmphoraGone: it was deleted before; an id is never used twice.
            DriverUnavailable: worth trying again.
        """

    def find(self, amphora_id: str) -> Placement | None:
        """The amphora's place, or None where it has none."""

    def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:
        """Take the place away with everything in it; connections get up to ``drain_seconds`` to finish. Deleting what
        is not there is no error."""

    def owned(self) -> frozenset[str]:
        """Ids of all amphorae that have a place here."""
