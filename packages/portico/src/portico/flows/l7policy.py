"""L7 policies."""

from __future__ import annotations

from portico.flows.operation_flow import ConfigurationChange


class CreateL7Policy(ConfigurationChange):
    """A new policy: one push; with no rules it matches nothing."""


class UpdateL7Policy(ConfigurationChange):
    """A changed policy, or another order of policies: one push."""


class DeleteL7Policy(ConfigurationChange):
    """A policy goes, with its rules: one push."""
