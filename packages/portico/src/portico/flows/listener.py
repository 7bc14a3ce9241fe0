"""Listeners."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateListener(ConfigurationChange):
    """A new port of the VIP: its socket is opened and the configuration that serves it is pushed."""


class UpdateListener(ConfigurationChange):
    """A changed listener: one push."""


class DeleteListener(ConfigurationChange):
    """A listener goes: its socket is closed, connections that it has may finish."""
