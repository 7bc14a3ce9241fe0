"""L7 rules."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateL7Rule(ConfigurationChange):
    """A new condition: one push."""


class UpdateL7Rule(ConfigurationChange):
    """A changed condition: one push."""


class DeleteL7Rule(ConfigurationChange):
    """A condition goes: one push."""
