"""Pools."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreatePool(ConfigurationChange):
    """A new pool: one push; it serves once a listener or policy points to it."""


class UpdatePool(ConfigurationChange):
    """A changed pool: one push."""


class DeletePool(ConfigurationChange):
    """A pool goes, with its members and its monitor: one push."""
