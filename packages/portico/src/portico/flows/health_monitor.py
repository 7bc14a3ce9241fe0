"""Health monitors."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateHealthMonitor(ConfigurationChange):
    """A pool begins to ask its members: one push."""


class UpdateHealthMonitor(ConfigurationChange):
    """A changed monitor: one push."""


class DeleteHealthMonitor(ConfigurationChange):
    """A pool stops asking its members: one push."""
