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
    """All groups. The constructor takes groups and nothing else; ``read`` looks into the environment and a file.

    Raises:
        InvalidSettings: naming each unknown or wrong value.
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
        """Who says something of a group without naming a driver means that of the default."""
        if isinstance(value, dict) and "driver" not in value and info.field_name is not None:
            return {**value, "driver": cls.model_fields[info.field_name].default.driver}
        return value

    @model_validator(mode="after")
    def _keystone_is_there(self) -> Self:
        if self.api.auth == "keystone" and self.keystone is None:
            raise ValueError("api.auth is 'keystone': keystone.auth_url, .username and .password are needed")
        return self

    @classmethod
    def read(cls, file: Path | None = None, **groups: Unpack[SettingsGroups]) -> Settings:
        """What holds, value by value: the environment before the file, the file before the defaults.

        Args:
            file: TOML, a table for each group.
            groups: whole groups that hold whatever environment and file say of them.

        Raises:
            InvalidSettings: naming each unknown or wrong value, where it was said, and what was perhaps meant.
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
