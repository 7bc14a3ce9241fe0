"""The life of a load balancer, method by method: the methods that are measured, and what "mixed operations" are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from bench._rig import Rig

Step = tuple[str, Callable[[], object]]
"""A method's name and the call."""
MIXED = 21
"""Operations in one life without failovers: each method for a load balancer and its parts, once."""


def run_lifecycle(rig: Rig) -> Iterator[Step]:
    """Yield each method for a load balancer and its parts once. The caller calls each step before taking the next.

    Rows are written between the steps, so a caller who times each step does not measure that.
    """
    catalog, worker = rig.catalog, rig.worker
    balancer = catalog.add_load_balancer(name="web")
    yield "create_load_balancer", partial(worker.create_load_balancer, balancer)
    pool = catalog.add_pool(balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    yield "create_pool", partial(worker.create_pool, pool)
    listener = catalog.add_listener(balancer, protocol="HTTP", protocol_port=8080, default_pool_id=pool)
    yield "create_listener", partial(worker.create_listener, listener)
    member = catalog.add_member(pool, address="198.51.100.1", protocol_port=80)
    yield "create_member", partial(worker.create_member, member)
    monitor = catalog.add_health_monitor(pool, type="HTTP", delay=5, timeout=3, max_retries=2)
    yield "create_health_monitor", partial(worker.create_health_monitor, monitor)
    policy = catalog.add_l7policy(listener, action="REJECT")
    yield "create_l7policy", partial(worker.create_l7policy, policy)
    rule = catalog.add_l7rule(policy, type="PATH", compare_type="STARTS_WITH", value="/admin")
    yield "create_l7rule", partial(worker.create_l7rule, rule)

    yield "update_load_balancer", partial(worker.update_load_balancer, balancer, {"name": "web 2"})
    yield "update_pool", partial(worker.update_pool, pool, {"lb_algorithm": "LEAST_CONNECTIONS"})
    yield "update_listener", partial(worker.update_listener, listener, {"connection_limit": 100})
    yield "update_member", partial(worker.update_member, member, {"weight": 5})
    yield "update_health_monitor", partial(worker.update_health_monitor, monitor, {"delay": 6})
    yield "update_l7policy", partial(worker.update_l7policy, policy, {"name": "keep out"})
    yield "update_l7rule", partial(worker.update_l7rule, rule, {"value": "/private"})

    yield "delete_l7rule", partial(worker.delete_l7rule, rule)
    yield "delete_l7policy", partial(worker.delete_l7policy, policy)
    yield "delete_health_monitor", partial(worker.delete_health_monitor, monitor)
    yield "delete_member", partial(worker.delete_member, member)
    yield "delete_listener", partial(worker.delete_listener, listener)
    yield "delete_pool", partial(worker.delete_pool, pool)
    yield "delete_load_balancer", partial(worker.delete_load_balancer, balancer)


def run_other_operations(rig: Rig) -> Iterator[Step]:
    """Yield the operations that an ordinary life lacks: full trees in one operation, failovers, spares."""
    catalog, worker = rig.catalog, rig.worker
    balancer = describe_tree(rig)
    yield "create_load_balancer (full tree)", partial(worker.create_load_balancer, balancer)
    amphora = catalog.list_ids("amphora", load_balancer_id=balancer)[0]
    yield "failover_amphora", partial(worker.failover_amphora, amphora)
    yield "failover_load_balancer", partial(worker.failover_load_balancer, balancer)
    yield "delete_load_balancer (full tree)", partial(worker.delete_load_balancer, balancer)
    yield "create_amphora", worker.create_amphora
    [spare] = catalog.list_ids("amphora", status="READY", load_balancer_id=None)
    yield "delete_amphora", partial(worker.delete_amphora, spare)


def describe_tree(rig: Rig) -> str:
    """Describe a load balancer with a listener, a pool with two members and a monitor, and a policy with a rule.
    Returns its id."""
    catalog = rig.catalog
    balancer = catalog.add_load_balancer(name="tree")
    pool = catalog.add_pool(balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    listener = catalog.add_listener(balancer, protocol="HTTP", protocol_port=8080, default_pool_id=pool)
    for number in (1, 2):
        catalog.add_member(pool, address=f"198.51.100.{number}", protocol_port=80)
    catalog.add_health_monitor(pool, type="HTTP", delay=5, timeout=3, max_retries=2)
    policy = catalog.add_l7policy(listener, action="REJECT")
    catalog.add_l7rule(policy, type="PATH", compare_type="STARTS_WITH", value="/admin")
    return balancer
