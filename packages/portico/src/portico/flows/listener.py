"""Flows of listeners."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateListener(ConfigurationChange):
    """Adds a port of the VIP: its socket is opened, and the configuration that serves it is pushed."""


class UpdateListener(ConfigurationChange):
    """Changes a listener. One push."""


class DeleteListener(ConfigurationChange):
    """Deletes a listener: its socket is closed, and the connections that it has can finish."""
