"""Flows of L7 policies."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateL7Policy(ConfigurationChange):
    """Adds a policy. One push; without rules it matches nothing."""


class UpdateL7Policy(ConfigurationChange):
    """Changes a policy, or the order of policies. One push."""


class DeleteL7Policy(ConfigurationChange):
    """Deletes a policy with its rules. One push."""
