"""Flows of pools."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreatePool(ConfigurationChange):
    """Adds a pool. One push; it serves once a listener or policy points to it."""


class UpdatePool(ConfigurationChange):
    """Changes a pool. One push."""


class DeletePool(ConfigurationChange):
    """Deletes a pool with its members and its monitor. One push."""
