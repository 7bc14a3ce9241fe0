"""Flows of health monitors."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateHealthMonitor(ConfigurationChange):
    """Adds a health monitor: a pool begins to check its members. One push."""


class UpdateHealthMonitor(ConfigurationChange):
    """Changes a health monitor. One push."""


class DeleteHealthMonitor(ConfigurationChange):
    """Deletes a health monitor: a pool stops checking its members. One push."""
