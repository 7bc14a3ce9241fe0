"""``deploy``: the example configuration and the systemd units say what this version of Portico does."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from portico.cli.commands import app
from portico.cli.demo_remains import find_processes, kill_processes
from portico.cli.demo_traffic import Backend, ask_once
from portico.ports.network import SUBNET_ID
from portico.settings import Settings
from tests.cli.test_serve import await_active, await_answer
from tests.support.ports import find_free_port
from tests.support.server import find_program

_DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_EXAMPLE = _DEPLOY / "portico.toml"
_UNITS = sorted((_DEPLOY / "systemd").iterdir())
_BIN = Path(sys.executable).parent
_INSTALLED, _CONFIG, _STATE = "/opt/portico/bin", "/etc/portico/portico.toml", "/var/lib/portico"

# What people run and what ends by itself. Every other command runs for ever and needs a unit.
_NO_SERVICES = {"up", "demo", "status", "limit", "db", "certificates", "check"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PORTICO_") and name != "PORTICOTEST_RUN"]:
        monkeypatch.delenv(name)


# The example configuration


def read_shown_defaults() -> dict[str, dict[str, Any]]:
    """Group, name and value of each ``#name = value`` line."""
    shown: dict[str, dict[str, Any]] = {}
    group: dict[str, Any] = {}
    for line in _EXAMPLE.read_text().splitlines():
        if heading := re.fullmatch(r"#?\[(\w+)\]", line):
            group = shown.setdefault(heading[1], {})
        elif setting := re.fullmatch(r"#(\w+ = .+)", line):
            group |= tomllib.loads(setting[1])
    return shown


def group_class(name: str) -> type[BaseModel]:
    """The settings of a group; also of one that is not there by default (``Group | None``)."""
    annotation: Any = Settings.model_fields[name].annotation
    options = getattr(annotation, "__args__", (annotation,))
    [found] = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
    return found


def test_the_example_configuration_is_valid() -> None:
    """It can be used as it is: every name in it is known and every value allowed."""
    Settings.read(_EXAMPLE)


def test_the_example_configuration_shows_every_setting_and_no_other() -> None:
    """A setting that is added or removed has to be in deploy/portico.toml, or not to be there."""
    shown = {f"{group}.{name}" for group, values in read_shown_defaults().items() for name in values}
    known = {f"{group}.{name}" for group in Settings.model_fields for name in group_class(group).model_fields}

    missing, unknown = sorted(known - shown), sorted(shown - known)
    assert not missing, f"add to deploy/portico.toml a comment and a line '#name = default' for each of {missing}"
    assert not unknown, f"deploy/portico.toml shows settings that do not exist: {unknown}"


@pytest.mark.parametrize("group", list(Settings.model_fields))
def test_the_example_configuration_shows_the_real_defaults(group: str) -> None:
    """A ``#name = value`` line says what holds without it; where nothing does, the value is an example."""
    settings = group_class(group)
    shown = settings(**read_shown_defaults().get(group, {}))

    for name, field in settings.model_fields.items():
        if field.is_required() or field.get_default(call_default_factory=True) is None:
            continue
        default = field.get_default(call_default_factory=True)
        assert getattr(shown, name) == default, f"deploy/portico.toml: {group}.{name} is {default!r} by default"


# The units


def commands_of(unit: Path) -> list[list[str]]:
    """The commands of Portico that a unit runs, as words."""
    lines = re.findall(r"^Exec\w+=[-+@:!|]*(.+)$", unit.read_text(), re.MULTILINE)
    return [words for line in lines if (words := shlex.split(line))[0].startswith(_INSTALLED)]


_COMMANDS = [pytest.param(words, id=unit.name) for unit in _UNITS for words in commands_of(unit)]


def test_systemd_has_nothing_to_complain_about(tmp_path: Path) -> None:
    """The system knows every setting in the units, and every program that they run is there."""
    for unit in _UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(_INSTALLED, str(_BIN)))
    analyze = find_program("systemd-analyze", "systemd")
    command = [str(analyze), "verify", "--man=no", *(str(tmp_path / unit.name) for unit in _UNITS)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    # Only what is about these units: this machine's own may have faults too.
    complaints = [line for line in verified.stderr.splitlines() if "portico" in line or str(tmp_path) in line]
    assert (verified.returncode, complaints) == (0, [])


def test_every_command_that_runs_for_ever_has_a_unit() -> None:
    """What an operator has to run, systemd can run."""
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    names = {name.replace("_", "-") for name in known} - _NO_SERVICES
    missing = {f"portico-{name}.service" for name in names} - {unit.name for unit in _UNITS}
    assert not missing, f"add to deploy/systemd: {sorted(missing)} (or the command to _NO_SERVICES in this test)"


@pytest.mark.parametrize("words", _COMMANDS)
def test_a_unit_uses_options_that_its_command_has(words: list[str]) -> None:
    """Each option in an ExecStart line is in the command's help."""
    program, *arguments = words
    options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    if Path(program).name == "portico-agent":
        command = [sys.executable, "-m", "portico_agent", "--help"]
        known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    else:
        names = [word for word in arguments if word.isidentifier() or re.fullmatch(r"[a-z]+(-[a-z]+)+", word)]
        helped = CliRunner().invoke(app, [names[0], "--help"], env={"COLUMNS": "200"})
        assert helped.exit_code == 0, helped.output
        known = helped.stdout
    assert not {option for option in options if not re.search(rf"{option}\b", known)}


@pytest.mark.database("postgresql")
def test_the_parts_work_together_as_the_units_start_them(database_url: str, tmp_path: Path) -> None:
    """The schema and certificates are made, each unit's command is started as it stands there (but for its addresses
    and directories), and what the API is asked for carries traffic. Told to stop, each ends with status 0; HAProxy
    goes on without its agent."""
    port, agent_port = find_free_port(), find_free_port()
    config = tmp_path / "portico.toml"
    places = {
        _INSTALLED: str(_BIN),
        _CONFIG: str(config),
        _STATE: str(tmp_path),
        "127.0.0.1:9443": f"127.0.0.1:{agent_port}",
    }
    example = place(_EXAMPLE.read_text(), places)
    example = re.sub(r"^url = .*", lambda _: f'url = "{database_url}"', example, flags=re.MULTILINE)
    example = example.replace("#port = 9876", f"port = {port}")
    example = example.replace("#allow_loopback_members = false", "allow_loopback_members = true")
    config.write_text(example.replace("#agent_url", "agent_url").replace("#poll_seconds = 1.0", "poll_seconds = 0.1"))
    for words in (["db", "upgrade"], ["certificates"]):
        done = CliRunner().invoke(app, [*words, "--config", str(config)])
        assert done.exit_code == 0, done.output

    with ExitStack() as ending, Backend("doric") as backend:
        ending.callback(kill_processes, tmp_path)
        services = {name: start(ending, f"portico-{name}.service", places) for name in ("api", "worker", "agent")}
        client = ending.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        await_answer(client, "/", services["api"])
        vip_port = find_free_port()
        created = client.post("/v2/lbaas/loadbalancers", json=tree(vip_port, backend.port))
        assert created.status_code == 201, created.text
        address = await_active(client, created.json()["loadbalancer"]["id"])["vip_address"]
        assert ask_once(str(address), vip_port).by == "doric"

        for name, service in services.items():
            service.send_signal(signal.SIGTERM)
            _, errors = service.communicate(timeout=60)
            assert service.returncode == 0, (name, errors)
        assert ask_once(str(address), vip_port).by == "doric"
    assert not find_processes(tmp_path)


def tree(vip_port: int, backend_port: int) -> dict[str, Any]:
    """The body of a POST: a load balancer before one server."""
    member = {"address": "127.0.0.1", "protocol_port": backend_port}
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": [member]}
    listener = {"protocol": "HTTP", "protocol_port": vip_port, "default_pool": pool}
    return {"loadbalancer": {"name": "web", "vip_subnet_id": SUBNET_ID, "listeners": [listener]}}


def place(text: str, places: dict[str, str]) -> str:
    """The text with other places in it."""
    for installed, here in places.items():
        text = text.replace(installed, here)
    return text


def start(ending: ExitStack, unit: str, places: dict[str, str]) -> subprocess.Popen[str]:
    """What the unit starts, until the end at the latest."""
    [line] = re.findall(r"^ExecStart=(.+)$", (_DEPLOY / "systemd" / unit).read_text(), re.MULTILINE)
    command = shlex.split(place(line, places))
    service = ending.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    ending.callback(service.kill)
    return service


def test_the_agent_s_amphorae_outlive_it_under_systemd() -> None:
    """Nothing is told, or killed, but the agent itself; HAProxy and its supervisor are in the same control group
    and go on, also where memory runs out."""
    unit = (_DEPLOY / "systemd" / "portico-agent.service").read_text().splitlines()
    assert {"KillMode=process", "OOMPolicy=continue", "Restart=always"} <= set(unit)
    assert not [line for line in unit if line.startswith(("PrivateMounts=", "DynamicUser=yes", "RuntimeDirectory="))]
