"""The resources: one module per type, with its table, its writable fields and its own rules side by side.

Belongs here: SQLAlchemy mapped classes, the pydantic ``*Spec`` of the fields that a user may set on each, rules about
one object (constraints between objects are in ``portico.intake.constraints``), and the tree of one load balancer. Does
not: queries, transactions, I/O of any kind.
"""

from portico.resources.amphora import Amphora, AmphoraHealth
from portico.resources.availability_zone import AvailabilityZone, AvailabilityZoneProfile
from portico.resources.flavor import Flavor, FlavorProfile
from portico.resources.health_monitor import HealthMonitor, HealthMonitorSpec
from portico.resources.l7policy import L7Policy, L7PolicySpec
from portico.resources.l7rule import L7Rule, L7RuleSpec
from portico.resources.listener import Listener, ListenerSpec
from portico.resources.listener_counters import ListenerCounters
from portico.resources.load_balancer import LoadBalancer, LoadBalancerSpec, Vip, VipSpec
from portico.resources.member import Member, MemberSpec
from portico.resources.operation import Lease, Operation, Slot, SlotLimit, SlotWaiter
from portico.resources.pool import Pool, PoolSpec, SessionPersistenceSpec
from portico.resources.quota import Quota
from portico.resources.row import Row, Spec
from portico.resources.tag import Tag

__all__ = [
    "Amphora",
    "AmphoraHealth",
    "AvailabilityZone",
    "AvailabilityZoneProfile",
    "Flavor",
    "FlavorProfile",
    "HealthMonitor",
    "HealthMonitorSpec",
    "L7Policy",
    "L7PolicySpec",
    "L7Rule",
    "L7RuleSpec",
    "Lease",
    "Listener",
    "ListenerCounters",
    "ListenerSpec",
    "LoadBalancer",
    "LoadBalancerSpec",
    "Member",
    "MemberSpec",
    "Operation",
    "Pool",
    "PoolSpec",
    "Quota",
    "Row",
    "SessionPersistenceSpec",
    "Slot",
    "SlotLimit",
    "SlotWaiter",
    "Spec",
    "Tag",
    "Vip",
    "VipSpec",
]
