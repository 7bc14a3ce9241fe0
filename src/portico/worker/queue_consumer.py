"""The queue consumer: what arrives as a message, from the API in this process or through RabbitMQ, ends here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Context = dict[str, Any]


class QueueConsumer:
    """Has a method for each thing that the API may have accepted, named as the controller worker's.

    A message says which operation to look at. What is to be done is read from the database by whoever takes the lease,
    so every method does the same, whatever its arguments say: it lets this worker look. A message that comes late,
    twice, or about something that does not exist finds nothing to do.

    The ids are there for people who watch the queue. oslo.messaging calls these methods by their names, with its
    context first and the rest by name; each public method can be called by a message.

    Args:
        wake: lets a thread of this worker look; False where all of them are busy, or are to take nothing new.
        pass_on: lets every worker look: what this one has no thread for is not to wait for one.
    """

    def __init__(self, wake: Callable[[], bool], pass_on: Callable[[], None]) -> None:
        self._wake = wake
        self._pass_on = pass_on

    def look(self, context: Context) -> None:  # noqa: ARG002 - the form of every method
        """Another worker was told of something and is busy, or messages may have been lost."""
        self._wake()

    # Load balancers

    def create_load_balancer(self, context: Context, load_balancer_id: str, operation_id: str | None = None) -> None:
        """A load balancer is to be built."""
        self._see(context, load_balancer_id, operation_id)

    def update_load_balancer(self, context: Context, load_balancer_id: str, operation_id: str | None = None) -> None:
        """A load balancer is to be changed."""
        self._see(context, load_balancer_id, operation_id)

    def delete_load_balancer(self, context: Context, load_balancer_id: str, operation_id: str | None = None) -> None:
        """A load balancer is to be deleted."""
        self._see(context, load_balancer_id, operation_id)

    def failover_load_balancer(self, context: Context, load_balancer_id: str, operation_id: str | None = None) -> None:
        """The amphorae of a load balancer are to be replaced."""
        self._see(context, load_balancer_id, operation_id)

    # Listeners

    def create_listener(self, context: Context, listener_id: str, operation_id: str | None = None) -> None:
        """A listener is to be built."""
        self._see(context, listener_id, operation_id)

    def update_listener(self, context: Context, listener_id: str, operation_id: str | None = None) -> None:
        """A listener is to be changed."""
        self._see(context, listener_id, operation_id)

    def delete_listener(self, context: Context, listener_id: str, operation_id: str | None = None) -> None:
        """A listener is to be deleted."""
        self._see(context, listener_id, operation_id)

    # Pools

    def create_pool(self, context: Context, pool_id: str, operation_id: str | None = None) -> None:
        """A pool is to be built."""
        self._see(context, pool_id, operation_id)

    def update_pool(self, context: Context, pool_id: str, operation_id: str | None = None) -> None:
        """A pool is to be changed."""
        self._see(context, pool_id, operation_id)

    def delete_pool(self, context: Context, pool_id: str, operation_id: str | None = None) -> None:
        """A pool is to be deleted."""
        self._see(context, pool_id, operation_id)

    # Members

    def create_member(self, context: Context, member_id: str, operation_id: str | None = None) -> None:
        """A member is to be built."""
        self._see(context, member_id, operation_id)

    def update_member(self, context: Context, member_id: str, operation_id: str | None = None) -> None:
        """A member is to be changed."""
        self._see(context, member_id, operation_id)

    def delete_member(self, context: Context, member_id: str, operation_id: str | None = None) -> None:
        """A member is to be deleted."""
        self._see(context, member_id, operation_id)

    def batch_update_members(self, context: Context, pool_id: str, operation_id: str | None = None) -> None:
        """The members of a pool are to be replaced: any number of operations."""
        self._see(context, pool_id, operation_id)

    # Health monitors

    def create_health_monitor(self, context: Context, health_monitor_id: str, operation_id: str | None = None) -> None:
        """A health monitor is to be built."""
        self._see(context, health_monitor_id, operation_id)

    def update_health_monitor(self, context: Context, health_monitor_id: str, operation_id: str | None = None) -> None:
        """A health monitor is to be changed."""
        self._see(context, health_monitor_id, operation_id)

    def delete_health_monitor(self, context: Context, health_monitor_id: str, operation_id: str | None = None) -> None:
        """A health monitor is to be deleted."""
        self._see(context, health_monitor_id, operation_id)

    # L7 policies

    def create_l7policy(self, context: Context, l7policy_id: str, operation_id: str | None = None) -> None:
        """An L7 policy is to be built."""
        self._see(context, l7policy_id, operation_id)

    def update_l7policy(self, context: Context, l7policy_id: str, operation_id: str | None = None) -> None:
        """An L7 policy is to be changed."""
        self._see(context, l7policy_id, operation_id)

    def delete_l7policy(self, context: Context, l7policy_id: str, operation_id: str | None = None) -> None:
        """An L7 policy is to be deleted."""
        self._see(context, l7policy_id, operation_id)

    # L7 rules

    def create_l7rule(self, context: Context, l7rule_id: str, operation_id: str | None = None) -> None:
        """An L7 rule is to be built."""
        self._see(context, l7rule_id, operation_id)

    def update_l7rule(self, context: Context, l7rule_id: str, operation_id: str | None = None) -> None:
        """An L7 rule is to be changed."""
        self._see(context, l7rule_id, operation_id)

    def delete_l7rule(self, context: Context, l7rule_id: str, operation_id: str | None = None) -> None:
        """An L7 rule is to be deleted."""
        self._see(context, l7rule_id, operation_id)

    # Amphorae

    def delete_amphora(self, context: Context, amphora_id: str, operation_id: str | None = None) -> None:
        """An amphora is to be deleted."""
        self._see(context, amphora_id, operation_id)

    def failover_amphora(self, context: Context, amphora_id: str, operation_id: str | None = None) -> None:
        """An amphora is to be replaced."""
        self._see(context, amphora_id, operation_id)

    def _see(self, _context: Context, _subject_id: str, _operation_id: str | None) -> None:
        if not self._wake():
            self._pass_on()
