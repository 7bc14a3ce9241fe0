"""The documented defaults of settings, and the sources of their values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from portico.errors import InvalidSettings, PorticoError
from portico.settings import (
    AgentAmphoraSettings,
    DatabaseSettings,
    KeystoneSettings,
    LimitSettings,
    LocalComputeSettings,
    LoopbackNetworkSettings,
    NoopComputeSettings,
    NoopNetworkSettings,
    Settings,
    SettingsGroups,
    WorkerSettings,
)
from portico.settings.reading import find_groups

_EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "portico.toml"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove Portico's variables from the environment, which these tests do not depend on."""
    for name in [name for name in os.environ if name.startswith("PORTICO_")]:
        monkeypatch.delenv(name)


def test_the_defaults_are_the_documented_ones() -> None:
    """A default is a promise: a change shows here, and belongs in the changelog."""
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
        "compute": {"driver": "local", "agent_url": "https://127.0.0.1:9443", "agent_name": "portico-agent"},
        "amphora": {
            "driver": "agent",
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
            "max_connections": 500,
            "head_seconds": 20.0,
            "body_seconds": 120.0,
            "answer_seconds": 120.0,
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


def test_a_variable_sets_one_value_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """``PORTICO_WORKER__THREADS`` sets one value and leaves the other values of its group unchanged."""
    monkeypatch.setenv("PORTICO_WORKER__THREADS", "8")

    assert Settings.read().worker == WorkerSettings(threads=8)


def test_arguments_override_the_file(tmp_path: Path) -> None:
    """The file's values apply unless the program overrides them."""
    file = tmp_path / "portico.toml"
    file.write_text("[worker]\nthreads = 2\n[limits]\noperations = 5\n")

    settings = Settings.read(file, limits=LimitSettings(operations=7))

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
        ("[compute]\nagent_name = ''\n", "compute.agent_name"),
        ("[validation]\nreserved_networks = ['10.0.0.1/8']\n", "validation.reserved_networks.0"),
    ],
)
def test_a_wrong_name_or_value_is_refused_with_the_settings_name(tmp_path: Path, text: str, named: str) -> None:
    """A misspelt name is an error that names the setting, not a silent default."""
    file = tmp_path / "portico.toml"
    file.write_text(text)

    with pytest.raises(InvalidSettings) as refusal:
        Settings.read(file)

    assert [fault.setting for fault in refusal.value.faults] == [named]


@pytest.mark.parametrize("in_file", [2, None])
@pytest.mark.parametrize("in_environment", [8, None])
@pytest.mark.parametrize("in_argument", [16, None])
def test_an_argument_overrides_the_environment_which_overrides_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_file: int | None,
    in_environment: int | None,
    in_argument: int | None,
) -> None:
    """An argument overrides the environment, which overrides the file, in every combination. Other values of the same
    group in the file still apply."""
    file = tmp_path / "portico.toml"
    file.write_text("[worker]\nretry_seconds = 0.25\n" + (f"threads = {in_file}\n" if in_file else ""))
    if in_environment:
        monkeypatch.setenv("PORTICO_WORKER__THREADS", str(in_environment))
    groups: SettingsGroups = {"worker": WorkerSettings(threads=in_argument)} if in_argument else {}

    worker = Settings.read(file, **groups).worker

    assert worker.threads == (in_argument or in_environment or in_file or 4)
    assert worker.retry_seconds == (0.5 if in_argument else 0.25)


def test_the_environment_overrides_the_examples_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's database overrides the one in the shipped example."""
    monkeypatch.setenv("PORTICO_DATABASE__URL", "mariadb+pymysql://u@db/portico")

    assert Settings.read(_EXAMPLE).database.url == "mariadb+pymysql://u@db/portico"


def test_the_environment_can_set_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment can set numbers, switches, paths and lists, as text."""
    for name, text in {
        "PORTICO_VALIDATION__ALLOW_LOOPBACK_MEMBERS": "true",
        "PORTICO_VALIDATION__RESERVED_NETWORKS": '["10.0.0.0/8"]',
        "PORTICO_AMPHORA__CERTIFICATES": "/etc/portico/certificates",
        "PORTICO_COMPUTE__AGENT_URL": "https://10.0.0.5:9443",
        "PORTICO_NETWORK__DRIVER": "noop",
        "PORTICO_WORKER__RETRY_SECONDS": "0.75",
    }.items():
        monkeypatch.setenv(name, text)
    settings = Settings.read()

    assert (settings.validation.allow_loopback_members, settings.validation.reserved_networks) == (
        True,
        ("10.0.0.0/8",),
    )
    assert settings.amphora == AgentAmphoraSettings(certificates=Path("/etc/portico/certificates"))
    assert settings.compute == LocalComputeSettings(agent_url="https://10.0.0.5:9443")
    assert (settings.network, settings.worker.retry_seconds) == (NoopNetworkSettings(), 0.75)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PORTICO_DATABASE_URL", "sqlite:///x", "did you mean PORTICO_DATABASE__URL?"),
        ("PORTICO_DATABSE__URL", "sqlite:///x", "did you mean PORTICO_DATABASE__URL?"),
        ("PORTICO_WORKER__THREAD", "3", "did you mean PORTICO_WORKER__THREADS?"),
        ("PORTICO_WORKER", '{"threads": 3}', "there is no such setting"),
        ("PORTICO_ZYX", "3", "there is no such setting"),
        ("PORTICO_WORKER__THREADS", "many", "integer"),
        ("PORTICO_AMPHORA__AGENT_URL", "https://10.0.0.5:9443", "did you mean PORTICO_COMPUTE__AGENT_URL?"),
        ("PORTICO_AMPHORA__AGENT_NAME", "agent", "did you mean PORTICO_COMPUTE__AGENT_NAME?"),
        ("PORTICO_COMPUTE__DRIVER", "magic", "must be one of local, noop"),
        ("PORTICO_COMPUTE__AGENT_URL", "10.0.0.5:9443", "must be like https://10"),
        ("PORTICO_API__ALLOWED_HOSTS", "one,two", 'a list in JSON, like ["one", "two"]'),
        ("PORTICO_API__ALLOWED_HOSTS", '"one"', "tuple"),
    ],
)
def test_an_unknown_or_wrong_variable_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    """Nothing that begins with ``PORTICO_`` is ignored. The error suggests the nearest known name."""
    monkeypatch.setenv(variable, text)

    with pytest.raises(InvalidSettings) as refusal:
        Settings.read()

    [fault] = refusal.value.faults
    assert (fault.place, fault.setting) == ("the environment", variable)
    assert message in fault.rule


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[worker]\n# four\nthread = 2\n", 3, "did you mean worker.threads?"),
        ("[wroker]\nthreads = 2\n", 1, "did you mean worker?"),
        ("[api]\n\n\nvip_range = '127.0.0.0/8'\n", 4, "did you mean network.vip_range?"),
        ("pool_size = 3\n", 1, "did you mean database.pool_size?"),
        ("worker.thread = 2\n", 1, "did you mean worker.threads?"),
        ("[limits]\n[worker]\nthreads = 0\n", 3, "greater than 0"),
        ("[validation]\nreserved_networks = [\n  '10.0.0.1/8',\n]\n", 2, "has host bits set"),
        ("[keystone]\nauth_url = 'https://k'\nusername = 'p'\n", 1, "is needed"),
        ("[amphora]\n\nagent_url = 'https://10.0.0.5:9443'\n", 3, "did you mean compute.agent_url?"),
        ("[amphora]\n\nagent_name = 'agent'\n", 3, "did you mean compute.agent_name?"),
        ("[amphora]\ncertificate = 'x'\n", 2, "did you mean amphora.certificates?"),
        ("[network]\n\ndriver = 'magic'\n", 3, "must be one of loopback, noop"),
        ("[network]\ndriver = 'noop'\nvip_range = '127.64.0.0/10'\n", 3, "is a setting of network.driver loopback"),
        ("[compute]\n# where\nagent_url = '10.0.0.5:9443'\n", 3, "must be like https://10"),
    ],
)
def test_a_fault_in_a_file_has_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    """The fault has the file, the line and the rule. For an unknown name it has the nearest known one, even from
    another group."""
    file = tmp_path / "portico.toml"
    file.write_text(text)

    with pytest.raises(InvalidSettings) as refusal:
        Settings.read(file)

    [fault] = refusal.value.faults
    assert fault.place == f"{file}, line {line}"
    assert message in fault.rule


def test_all_faults_are_reported_together_with_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All faults are reported together, each with its place. A wrong value from the environment is not attributed to
    the file."""
    file = tmp_path / "portico.toml"
    file.write_text("[worker]\nthreads = 3\npoll_seconds = -1\nbatch = 3\n")
    monkeypatch.setenv("PORTICO_WORKER__THREADS", "none")
    monkeypatch.setenv("PORTICO_WROKER__THREADS", "3")

    with pytest.raises(InvalidSettings) as refusal:
        Settings.read(file)

    assert {fault.setting for fault in refusal.value.faults} == {
        "PORTICO_WORKER__THREADS",
        "PORTICO_WROKER__THREADS",
        "worker.poll_seconds",
        "worker.batch",
    }


@pytest.mark.parametrize("content", [None, b"[worker", b"\xff\xfe"])
def test_the_error_of_an_unreadable_file_names_it(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, not TOML or not text raises the same error as a wrong value."""
    file = tmp_path / "portico.toml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidSettings, match=r"portico\.toml"):
        Settings.read(file)


def test_wrong_settings_raise_portico_errors() -> None:
    """Programs that embed Portico catch one type of error, whichever constructor refuses."""
    for wrong in (lambda: WorkerSettings(threads=0), lambda: Settings(worker={"thread": 3})):
        with pytest.raises(PorticoError, match="thread"):
            wrong()
    with pytest.raises(InvalidSettings, match=r"did you mean worker\.threads\?"):
        Settings(worker={"thread": 3})


def test_settings_cannot_be_changed_under_a_running_worker() -> None:
    """Settings are immutable values."""
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.worker = WorkerSettings()  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.worker.threads = 3  # type: ignore[misc]


def test_every_group_of_settings_is_documented() -> None:
    """Every group has a docstring."""
    groups = [model for models in find_groups(Settings).values() for model in models]

    assert {KeystoneSettings, LocalComputeSettings, NoopComputeSettings} <= set(groups)
    assert all("__doc__" in vars(group) and group.__doc__ for group in groups)


@pytest.mark.parametrize(
    ("group", "name", "least", "most"),
    [
        ("worker", "lease_seconds", 1, 600),
        ("worker", "task_retries", 0, 20),
        ("worker", "batch_size", 1, 5000),
        ("amphora", "drain_seconds", 0, 3600),
    ],
)
def test_an_absurd_number_is_refused_with_the_settings_name(group: str, name: str, least: Any, most: Any) -> None:
    """A value that no deployment can want is probably a slip, and is refused. The limits themselves are allowed."""

    def settings(values: dict[str, Any]) -> Settings:
        groups: dict[str, Any] = {group: values}
        return Settings(**groups)

    for value in (least, most):
        assert getattr(getattr(settings({name: value}), group), name) == value
    for value in (least - 0.9999 if name == "lease_seconds" else least - 1, most + 1):
        with pytest.raises(InvalidSettings, match=f"{group}.{name}"):
            settings({name: value})


def test_the_databases_password_is_not_printed() -> None:
    """The password is not shown where settings are printed, not even in a traceback's local variables."""
    settings = Settings(database=DatabaseSettings(url="postgresql+psycopg://portico:very-secret@db/portico"))

    assert "very-secret" not in f"{settings!r} {settings} {settings.database!r}"


_KEYSTONE = "[api]\nauth = 'keystone'\n[keystone]\nauth_url = 'http://k:5000/v3'\nusername = 'portico'\n"


def test_keystone_needs_its_settings(tmp_path: Path) -> None:
    """``api.auth`` alone is not enough. The defaults of the other settings are pinned."""
    file = tmp_path / "portico.toml"
    file.write_text("[api]\nauth = 'keystone'\n")
    with pytest.raises(InvalidSettings, match=r"keystone\.auth_url, \.username and \.password are needed"):
        Settings.read(file)

    file.write_text(_KEYSTONE + "password = 'secret'\n")
    found = Settings.read(file).keystone
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
    """A password comes from the environment, and the rest from the file. Neither the settings nor an error about them
    show the password."""
    file = tmp_path / "portico.toml"
    file.write_text(_KEYSTONE)
    monkeypatch.setenv("PORTICO_KEYSTONE__PASSWORD", "very-secret")
    settings = Settings.read(file)

    assert settings.keystone is not None
    assert settings.keystone.password.get_secret_value() == "very-secret"
    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    file.write_text(f"{_KEYSTONE}password = 'very-secret'\nregoin = 'r'\n")
    with pytest.raises(InvalidSettings) as refusal:
        Settings.read(file)
    assert "very-secret" not in f"{refusal.value} {refusal.value!r}"


def test_a_drivers_group_is_passed_directly() -> None:
    """A program chooses a driver by passing its group; without one, the default driver is used."""
    settings = Settings.read(network=NoopNetworkSettings(), compute=LocalComputeSettings(agent_name="host-7"))

    assert settings.network == NoopNetworkSettings()
    assert settings.compute == LocalComputeSettings(agent_name="host-7")
    values: dict[str, Any] = {"vip_range": "127.5.6.0/24"}
    assert Settings(network=values).network == LoopbackNetworkSettings(vip_range="127.5.6.0/24")


def test_the_guides_example_is_valid(tmp_path: Path) -> None:
    """The example in docs/guides/keystone.md is valid except for the missing password, which the error names."""
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "keystone.md").read_text()
    file = tmp_path / "portico.toml"
    file.write_text(guide.partition("```toml\n")[2].partition("```")[0])
    with pytest.raises(InvalidSettings, match=r"keystone\.password"):
        Settings.read(file)
    file.write_text(f"{file.read_text()}password = 'secret'\n")
    assert Settings.read(file).api.auth == "keystone"
