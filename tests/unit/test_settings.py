"""The defaults that were promised, and where values come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from portico.settings import DatabaseSettings, KeystoneSettings, LimitSettings, Settings, WorkerSettings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's environment says about Portico is not what is tested."""
    for name in [name for name in os.environ if name.startswith("PORTICO_")]:
        monkeypatch.delenv(name)


def test_the_defaults_are_the_promised_ones() -> None:
    """A default is a promise: changing one shows here, and belongs in the changelog."""
    assert Settings().model_dump() == {
        "database": {"url": "sqlite:///portico.db", "pool_size": 20, "retries": 8},
        "worker": {
            "threads": 4,
            "executor_threads": 32,
            "lease_seconds": 20.0,
            "poll_seconds": 1.0,
            "max_attempts": 3,
            "task_retries": 3,
            "retry_seconds": 0.5,
            "batch_seconds": 0.1,
            "batch_size": 1000,
            "wait_seconds": 600.0,
            "stop_seconds": 30.0,
        },
        "messaging": {
            "url": SecretStr(""),
            "topic": "portico",
            "prefetch": 16,
            "heartbeat_seconds": 15,
            "retry_seconds": 1.0,
            "backlog": 1000,
        },
        "limits": {"operations": 200, "amphora_builds": 20, "failovers": 10},
        "validation": {
            "allow_ping_monitors": False,
            "allow_loopback_members": False,
            "allow_link_local_members": False,
            "allow_special_members": False,
            "reserved_networks": (),
            "lowest_listener_port": 1,
            "max_members": 5000,
            "max_listeners": 500,
            "max_pools": 500,
            "max_l7policies": 200,
            "max_parts": 2000,
            "max_regular_expressions": 100,
        },
        "network": {"driver": "loopback", "vip_range": "127.64.0.0/10"},
        "compute": {"driver": "local"},
        "amphora": {
            "driver": "agent",
            "agent_url": "https://127.0.0.1:9443",
            "agent_name": "portico-agent",
            "controller_name": "portico-controller",
            "certificates": Path("certificates"),
            "connect_seconds": 5.0,
            "request_seconds": 60.0,
            "drain_seconds": 5.0,
        },
        "health": {
            "poll_seconds": 2.0,
            "threads": 8,
            "request_seconds": 3.0,
            "misses": 3,
            "lease_seconds": 15.0,
        },
        "api": {
            "host": "127.0.0.1",
            "port": 9876,
            "allowed_hosts": (),
            "trusted_proxies": ("127.0.0.1/32", "::1/128"),
            "path_prefix": "",
            "auth": "noauth",
            "project_id": "default",
            "policy_file": None,
            "threads": 8,
            "max_body_bytes": 4194304,
            "max_body_values": 200000,
            "keep_alive_seconds": 75,
        },
        "keystone": None,
        "quotas": {
            "load_balancer": -1,
            "listener": -1,
            "pool": -1,
            "member": -1,
            "health_monitor": -1,
            "l7policy": -1,
            "l7rule": -1,
        },
    }


def test_the_environment_names_group_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """``PORTICO_WORKER__THREADS`` sets one value and leaves its neighbours alone."""
    monkeypatch.setenv("PORTICO_WORKER__THREADS", "8")

    assert Settings().worker == WorkerSettings(threads=8)


def test_a_file_gives_values_and_arguments_win_over_it(tmp_path: Path) -> None:
    """What is in the file holds, except where the program says otherwise."""
    file = tmp_path / "portico.toml"
    file.write_text("[worker]\nthreads = 2\n[limits]\noperations = 5\n")

    settings = Settings.from_file(file, limits=LimitSettings(operations=7))

    assert (settings.worker.threads, settings.limits.operations) == (2, 7)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[worker]\nthread = 2\n", "worker.thread"),
        ("[wroker]\nthreads = 2\n", "wroker"),
        ("[worker]\nthreads = 0\n", "worker.threads"),
        ("[worker]\nlease_seconds = -1.0\n", "worker.lease_seconds"),
        ("[limits]\noperations = -1\n", "limits.operations"),
        ("[network]\ndriver = 'magic'\n", "network.driver"),
        ("[validation]\nmax_members = 'many'\n", "validation.max_members"),
        ("[keystone]\nauth_url = 'http://k'\nusername = 'portico'\n", "keystone.password"),
        ("[messaging]\ntopic = 'two words'\n", "messaging.topic"),
        ("[validation]\nreserved_networks = ['10.0.0.1/8']\n", "validation.reserved_networks.0"),
    ],
)
def test_a_wrong_name_or_value_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    """A typing error is an error that names the setting, not a silent default."""
    file = tmp_path / "portico.toml"
    file.write_text(text)

    with pytest.raises(ValidationError) as refusal:
        Settings.from_file(file)

    assert named in [".".join(map(str, error["loc"])) for error in refusal.value.errors()]


def test_settings_cannot_be_changed_under_a_running_worker() -> None:
    """Settings are values: whoever wants others makes new ones."""
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.worker = WorkerSettings()  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.worker.threads = 3  # type: ignore[misc]


def test_every_setting_says_what_it_means() -> None:
    """A group has a docstring; nobody has to guess what it is about."""
    groups = [field.annotation for field in Settings.model_fields.values()]

    assert KeystoneSettings | None in groups
    assert all(group.__doc__ for group in [KeystoneSettings, *groups])


@pytest.mark.parametrize(
    ("group", "name", "least", "most"),
    [
        ("worker", "lease_seconds", 1, 600),
        ("worker", "task_retries", 0, 20),
        ("worker", "batch_size", 1, 5000),
        ("amphora", "drain_seconds", 0, 3600),
    ],
)
def test_a_number_that_would_stop_everything_is_refused_by_name(group: str, name: str, least: Any, most: Any) -> None:
    """What no deployment can want is a slip of the pen; the limits themselves are allowed."""

    def settings(values: dict[str, Any]) -> Settings:
        groups: dict[str, Any] = {group: values}
        return Settings(**groups)

    for value in (least, most):
        assert getattr(getattr(settings({name: value}), group), name) == value
    for value in (least - 0.9999 if name == "lease_seconds" else least - 1, most + 1):
        with pytest.raises(ValidationError, match=f"{group}.{name}"):
            settings({name: value})


def test_the_databases_password_is_not_printed() -> None:
    """Wherever settings are printed as they are, in a traceback's local variables even."""
    settings = Settings(database=DatabaseSettings(url="postgresql+psycopg://portico:very-secret@db/portico"))

    assert "very-secret" not in f"{settings!r} {settings} {settings.database!r}"


_KEYSTONE = "[api]\nauth = 'keystone'\n[keystone]\nauth_url = 'http://k:5000/v3'\nusername = 'portico'\n"


def test_keystone_needs_its_settings(tmp_path: Path) -> None:
    """``api.auth`` alone says too little; the defaults of the rest are pinned."""
    file = tmp_path / "portico.toml"
    file.write_text("[api]\nauth = 'keystone'\n")
    with pytest.raises(ValidationError, match=r"keystone\.auth_url, \.username and \.password are needed"):
        Settings.from_file(file)

    file.write_text(_KEYSTONE + "password = 'secret'\n")
    found = Settings.from_file(file).keystone
    assert found is not None
    assert found.model_dump(exclude={"password"}) == {
        "auth_url": "http://k:5000/v3",
        "www_authenticate_uri": None,
        "username": "portico",
        "user_domain_name": "Default",
        "project_name": "service",
        "project_domain_name": "Default",
        "region": None,
        "interface": "internal",
        "cafile": None,
        "insecure": False,
        "timeout_seconds": 10,
        "cache_seconds": 300,
        "cache_size": 2000,
    }


def test_a_password_comes_from_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says the rest; neither the settings nor an error about them print it."""
    file = tmp_path / "portico.toml"
    file.write_text(_KEYSTONE)
    monkeypatch.setenv("PORTICO_KEYSTONE__PASSWORD", "very-secret")
    settings = Settings.from_file(file)

    assert settings.keystone is not None
    assert settings.keystone.password.get_secret_value() == "very-secret"
    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    file.write_text(f"{_KEYSTONE}password = 'very-secret'\nregoin = 'r'\n")
    with pytest.raises(ValidationError) as refusal:
        Settings.from_file(file)
    assert "very-secret" not in f"{refusal.value} {refusal.value!r}"


def test_the_guides_example_is_right(tmp_path: Path) -> None:
    """What docs/guides/keystone.md shows can be copied; the password is missing there, and the error says so."""
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "keystone.md").read_text()
    file = tmp_path / "portico.toml"
    file.write_text(guide.partition("```toml\n")[2].partition("```")[0])
    with pytest.raises(ValidationError, match=r"keystone\.password"):
        Settings.from_file(file)
    file.write_text(f"{file.read_text()}password = 'secret'\n")
    assert Settings.from_file(file).api.auth == "keystone"
