"""Flows of L7 rules."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateL7Rule(ConfigurationChange):
    """Adds a rule to a policy. One push."""


class UpdateL7Rule(ConfigurationChange):
    """Changes a rule. One push."""


class DeleteL7Rule(ConfigurationChange):
    """Deletes a rule. One push."""
