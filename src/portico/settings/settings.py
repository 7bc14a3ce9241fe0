"""All settings, and reading them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self, TypedDict, Unpack

from pydantic import ValidationError, model_validator

from portico.errors import InvalidSettings
from portico.settings.groups import (
    AmphoraSettings,
    ApiSettings,
    ComputeSettings,
    DatabaseSettings,
    Group,
    HealthSettings,
    KeystoneSettings,
    LimitSettings,
    MessagingSettings,
    NetworkSettings,
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
    network: NetworkSettings = NetworkSettings()
    compute: ComputeSettings = ComputeSettings()
    amphora: AmphoraSettings = AmphoraSettings()
    health: HealthSettings = HealthSettings()
    api: ApiSettings = ApiSettings()
    keystone: KeystoneSettings | None = None
    quotas: QuotaSettings = QuotaSettings()

    @model_validator(mode="after")
    def _keystone_is_there(self) -> Self:
        if self.api.auth == "keystone" and self.keystone is None:
            raise ValueError("api.auth is 'keystone': keystone.auth_url, .username and .password are needed")
        return self

    @property
    def has_agents(self) -> bool:
        """Whether amphorae are carried by agents; no-op ones live in the memory of their worker."""
        return "noop" not in (self.compute.driver, self.amphora.driver)

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
