"""All settings, and reading them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self, TypedDict, Unpack

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from portico.errors import InvalidSettings
from portico.settings.drivers import (
    AgentAmphoraSettings,
    AmphoraSettings,
    ComputeSettings,
    LocalComputeSettings,
    LoopbackNetworkSettings,
    NetworkSettings,
)
from portico.settings.group import Group
from portico.settings.groups import (
    ApiSettings,
    DatabaseSettings,
    HealthSettings,
    KeystoneSettings,
    LimitSettings,
    MessagingSettings,
    QuotaSettings,
    ValidationSettings,
    WorkerSettings,
)
from portico.settings.reading import explain, find_groups, merge, read_environment, read_toml


class SettingsGroups(TypedDict, total=False):
    """The groups of ``Settings``, as arguments."""

    database: DatabaseSettings
    worker: WorkerSettings
    messaging: MessagingSettings
    limits: LimitSettings
    validation: ValidationSettings
    network: NetworkSettings
    compute: ComputeSettings
    amphora: AmphoraSettings
    health: HealthSettings
    api: ApiSettings
    keystone: KeystoneSettings | None
    quotas: QuotaSettings


class Settings(Group):
    """All groups of settings. The constructor uses only the groups it is given; ``read`` also reads the environment and
    a file.

    Raises:
        InvalidSettings: a value is unknown or wrong. The error names each.
    """

    database: DatabaseSettings = DatabaseSettings()
    worker: WorkerSettings = WorkerSettings()
    messaging: MessagingSettings = MessagingSettings()
    limits: LimitSettings = LimitSettings()
    validation: ValidationSettings = ValidationSettings()
    network: NetworkSettings = Field(default=LoopbackNetworkSettings(), discriminator="driver")
    compute: ComputeSettings = Field(default=LocalComputeSettings(), discriminator="driver")
    amphora: AmphoraSettings = Field(default=AgentAmphoraSettings(), discriminator="driver")
    health: HealthSettings = HealthSettings()
    api: ApiSettings = ApiSettings()
    keystone: KeystoneSettings | None = None
    quotas: QuotaSettings = QuotaSettings()

    @field_validator("network", "compute", "amphora", mode="before")
    @classmethod
    def _name_default_driver(cls, value: object, info: ValidationInfo) -> object:
        """A group that is set without naming a driver belongs to the default driver."""
        if isinstance(value, dict) and "driver" not in value and info.field_name is not None:
            return {**value, "driver": cls.model_fields[info.field_name].default.driver}
        return value

    @model_validator(mode="after")
    def _require_keystone(self) -> Self:
        if self.api.auth == "keystone" and self.keystone is None:
            raise ValueError("api.auth is 'keystone': keystone.auth_url, .username and .password are needed")
        return self

    @classmethod
    def read(cls, file: Path | None = None, **groups: Unpack[SettingsGroups]) -> Settings:
        """Read the settings, value by value: the environment wins over the file, and the file over the defaults.

        Args:
            file: TOML, with a table for each group.
            groups: whole groups that replace everything that the environment and the file set in them.

        Raises:
            InvalidSettings: a value is unknown or wrong. The error names each, where it was set, and what was probably
                meant.
        """
        known = find_groups(cls)
        environment, faults = read_environment(known, os.environ)
        in_file, text = read_toml(file) if file else ({}, "")
        try:
            settings = cls.model_validate({**merge(in_file, environment), **groups})
        except ValidationError as error:
            place = (file, text) if file else None
            raise InvalidSettings([*faults, *explain(error, known, environment, place)]) from None
        if faults:
            raise InvalidSettings(faults)
        return settings
