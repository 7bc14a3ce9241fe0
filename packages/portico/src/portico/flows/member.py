"""Members."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateMember(ConfigurationChange):
    """A new server: one push, as a rule without a reload."""


class UpdateMember(ConfigurationChange):
    """A changed server (weight, state): one push, as a rule without a reload."""


class DeleteMember(ConfigurationChange):
    """A server goes: it gets no new connections, and is removed once it has none."""
