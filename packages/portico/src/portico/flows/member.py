"""Flows of members."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateMember(ConfigurationChange):
    """Adds a server. One push, normally without a reload."""


class UpdateMember(ConfigurationChange):
    """Changes a server (weight, state). One push, normally without a reload."""


class DeleteMember(ConfigurationChange):
    """Deletes a server: it gets no new connections, and is removed once it has none."""
