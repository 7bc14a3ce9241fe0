"""The peer's figures: OpenStack Octavia 19.0.0 with its no-op drivers on MariaDB, in one process, on similar hardware.

Statements, round trips and tasks were counted and are exact; CPU milliseconds are medians.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """What one method of the peer costs."""

    statements: int
    round_trips: int
    tasks: int
    cpu_ms: float


METHODS: dict[str, PeerFigures] = {
    "create_load_balancer": PeerFigures(149, 218, 28, 315),
    "create_load_balancer (full tree)": PeerFigures(639, 747, 38, 1036),
    "update_load_balancer": PeerFigures(127, 148, 8, 167),
    "delete_load_balancer": PeerFigures(74, 101, 11, 101),
    "delete_load_balancer (full tree)": PeerFigures(136, 194, 18, 184),
    "create_listener": PeerFigures(43, 58, 4, 62),
    "update_listener": PeerFigures(80, 98, 5, 104),
    "delete_listener": PeerFigures(48, 66, 6, 63),
    "create_pool": PeerFigures(45, 63, 5, 67),
    "update_pool": PeerFigures(81, 102, 6, 121),
    "delete_pool": PeerFigures(62, 89, 7, 90),
    "create_member": PeerFigures(199, 241, 10, 220),
    "update_member": PeerFigures(59, 83, 7, 97),
    "delete_member": PeerFigures(200, 245, 11, 246),
    "create_health_monitor": PeerFigures(74, 95, 6, 81),
    "update_health_monitor": PeerFigures(84, 108, 7, 117),
    "delete_health_monitor": PeerFigures(55, 82, 8, 74),
    "create_l7policy": PeerFigures(112, 130, 5, 126),
    "update_l7policy": PeerFigures(145, 166, 6, 164),
    "delete_l7policy": PeerFigures(91, 112, 6, 117),
    "create_l7rule": PeerFigures(151, 172, 6, 193),
    "update_l7rule": PeerFigures(181, 205, 7, 213),
    "delete_l7rule": PeerFigures(120, 144, 7, 174),
    "failover_amphora": PeerFigures(486, 587, 40, 799),
    "failover_load_balancer": PeerFigures(479, 577, 38, 858),
}
"""By method. The contents of the peer's full tree were not recorded; those of ours are in ``bench._lifecycle``."""

OPERATIONS_PER_SECOND: dict[int, float] = {1: 4.5, 4: 4.9, 16: 3.7}
"""Mixed operations per second in one process, by number of threads."""
