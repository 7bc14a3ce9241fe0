"""``deploy``: the example configuration and the systemd units agree with this version of Portico."""

from __future__ import annotations

import os
import re
import shlex
import shutil
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

from demo.remains import find_processes, kill_processes
from portico.cli.commands import app
from portico.ports.network import SUBNET_ID
from portico.settings import Settings
from portico.settings.reading import find_groups
from tests.agent.units import USERS, Unit, find_python, installed, needs_root
from tests.cli.test_serve import await_active, await_answer
from tests.support.clients import fetch
from tests.support.origins import Origin
from tests.support.ports import find_free_port
from tests.support.server import find_program
from tests.support.waiting import PATIENCE

_DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_EXAMPLE = _DEPLOY / "portico.toml"
_UNITS = sorted((_DEPLOY / "systemd").iterdir())
_BIN = Path(sys.executable).parent
_INSTALLED, _CONFIG, _STATE = "/opt/portico/bin", "/etc/portico/portico.toml", "/var/lib/portico"

# Commands that people run, and that end on their own. Every other command runs forever and needs a unit.
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
    """The settings of a group, with the default driver if drivers have their own; also of an optional group (``Group |
    None``)."""
    default = Settings.model_fields[name].default
    return type(default) if isinstance(default, BaseModel) else find_groups(Settings)[name][0]


def test_the_example_configuration_is_valid() -> None:
    """The example can be used unchanged: every name in it is known and every value allowed."""
    Settings.read(_EXAMPLE)


def test_the_example_configuration_shows_every_setting_and_no_other() -> None:
    """A setting that is added must be in deploy/portico.toml, and one that is removed must not."""
    shown = {f"{group}.{name}" for group, values in read_shown_defaults().items() for name in values}
    groups = find_groups(Settings)
    known = {f"{group}.{name}" for group, models in groups.items() for model in models for name in model.model_fields}

    missing, unknown = sorted(known - shown), sorted(shown - known)
    assert not missing, f"add to deploy/portico.toml a comment and a line '#name = default' for each of {missing}"
    assert not unknown, f"deploy/portico.toml shows settings that do not exist: {unknown}"


@pytest.mark.parametrize("group", list(Settings.model_fields))
def test_the_example_configuration_shows_the_real_defaults(group: str) -> None:
    """A ``#name = value`` line shows the default; if there is none, the value is an example."""
    settings = group_class(group)
    documented = read_shown_defaults().get(group, {})
    shown = settings(**{name: value for name, value in documented.items() if name in settings.model_fields})

    for name, field in settings.model_fields.items():
        if field.is_required() or field.get_default(call_default_factory=True) is None:
            continue
        default = field.get_default(call_default_factory=True)
        assert getattr(shown, name) == default, f"deploy/portico.toml: {group}.{name} is {default!r} by default"


# The units


def commands_of(unit: Path) -> list[list[str]]:
    """The Portico commands that a unit runs, as words."""
    lines = re.findall(r"^Exec\w+=[-+@:!|]*(.+)$", unit.read_text(), re.MULTILINE)
    return [words for line in lines if (words := shlex.split(line))[0].startswith(_INSTALLED)]


_COMMANDS = [pytest.param(words, id=unit.name) for unit in _UNITS for words in commands_of(unit)]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """Systemd knows every setting of the units, and every program that they run exists."""
    for unit in _UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(_INSTALLED, str(_BIN)))
    analyze = find_program("systemd-analyze", "systemd")
    command = [str(analyze), "verify", "--man=no", *(str(tmp_path / unit.name) for unit in _UNITS)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    # Only complaints about these units count: the machine's own may have faults too.
    complaints = [line for line in verified.stderr.splitlines() if "portico" in line or str(tmp_path) in line]
    assert (verified.returncode, complaints) == (0, [])


def test_every_command_that_runs_forever_has_a_unit() -> None:
    """Systemd can run everything that an operator must run."""
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    names = {name.replace("_", "-") for name in known} - _NO_SERVICES
    missing = {f"portico-{name}.service" for name in names} - {unit.name for unit in _UNITS}
    assert not missing, f"add to deploy/systemd: {sorted(missing)} (or the command to _NO_SERVICES in this test)"


@pytest.mark.parametrize("words", _COMMANDS)
def test_a_unit_uses_options_that_its_command_has(words: list[str]) -> None:
    """Each option in an ExecStart line is in the command's help."""
    program, *arguments = words
    options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    if Path(program).name != "portico":
        command = [str(_BIN / Path(program).name), "--help"]
        known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    else:
        names = [word for word in arguments if word.isidentifier() or re.fullmatch(r"[a-z]+(-[a-z]+)+", word)]
        helped = CliRunner().invoke(app, [names[0], "--help"], env={"COLUMNS": "200"})
        assert helped.exit_code == 0, helped.output
        known = helped.stdout
    assert not {option for option in options if not re.search(rf"{option}\b", known)}


@pytest.mark.database("postgresql")
def test_the_commands_of_the_units_work_together(database_url: str, tmp_path: Path) -> None:
    """The schema and certificates are created, and each unit's command is started as written (except for its addresses,
    directories and users, which tests/agent/test_users.py covers). A load balancer that is requested from the API
    carries traffic. When it is stopped, each command exits with status 0, and HAProxy continues without its agent and
    its supervisor."""
    port, agent_port = find_free_port(), find_free_port()
    config = tmp_path / "portico.toml"
    places = {
        _INSTALLED: str(_BIN),
        _CONFIG: str(config),
        "/etc/portico-agent": str(tmp_path / "certificates"),
        "/var/lib/portico-agent": str(tmp_path / "agent"),
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

    with ExitStack() as ending, Origin("doric") as origin:
        ending.callback(kill_processes, tmp_path)
        names = ("api", "worker", "health-manager", "supervisor", "agent")
        services = {name: start(ending, f"portico-{name}.service", places) for name in names}
        client = ending.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        await_answer(client, "/", services["api"])
        vip_port = find_free_port()
        created = client.post("/v2/lbaas/loadbalancers", json=tree(vip_port, origin.port))
        assert created.status_code == 201, created.text
        address = await_active(client, created.json()["loadbalancer"]["id"])["vip_address"]
        assert fetch(vip_port, address=str(address))[1] == "doric"

        for name, service in services.items():
            service.send_signal(signal.SIGINT if name == "supervisor" else signal.SIGTERM)
            _, errors = service.communicate(timeout=PATIENCE)
            assert service.returncode == 0, (name, errors)
        assert fetch(vip_port, address=str(address))[1] == "doric"
    assert not find_processes(tmp_path)


def tree(vip_port: int, backend_port: int) -> dict[str, Any]:
    """The body of a POST: a load balancer in front of one server."""
    member = {"address": "127.0.0.1", "protocol_port": backend_port}
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": [member]}
    listener = {"protocol": "HTTP", "protocol_port": vip_port, "default_pool": pool}
    return {"loadbalancer": {"name": "web", "vip_subnet_id": SUBNET_ID, "listeners": [listener]}}


def place(text: str, places: dict[str, str]) -> str:
    """Replace the places in the text."""
    for there, here in places.items():
        text = text.replace(there, here)
    return text


def start(ending: ExitStack, unit: str, places: dict[str, str]) -> subprocess.Popen[str]:
    """Start the unit's command; it is killed at the end if it still runs."""
    [line] = re.findall(r"^ExecStart=(.+)$", (_DEPLOY / "systemd" / unit).read_text(), re.MULTILINE)
    command = shlex.split(re.sub(r" --haproxy-(user|group) \S+", "", place(line, places)))
    service = ending.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    ending.callback(service.kill)
    return service


def test_haproxy_outlives_its_supervisor_and_its_agent_under_systemd() -> None:
    """Systemd signals or kills nothing but the supervisor itself, even if memory runs out, and uses the signal that
    makes it leave HAProxy running in the same control group. The agent has a control group of its own."""
    unit = (_DEPLOY / "systemd" / "portico-supervisor.service").read_text().splitlines()
    assert {"KillMode=process", "KillSignal=SIGINT", "OOMPolicy=continue", "Restart=always"} <= set(unit)
    assert not [line for line in unit if line.startswith(("PrivateMounts=", "DynamicUser=yes", "RuntimeDirectory="))]
    agent = (_DEPLOY / "systemd" / "portico-agent.service").read_text()
    assert not re.search("^(Requires|BindsTo|PartOf)=", agent, re.MULTILINE), "one must not end with the other"


_SERVICES = [Unit(path.name) for path in _UNITS if path.suffix == ".service"]


@pytest.mark.parametrize("unit", _SERVICES, ids=lambda unit: unit.name)
def test_a_unit_sets_its_limit_of_open_files(unit: Unit) -> None:
    """The limit is set, because the system's default is too low for an API."""
    assert int(unit.setting("LimitNOFILE")) >= 1024


def test_agent_and_supervisor_have_the_same_limit_of_open_files() -> None:
    """The agent derives from its own limit how many connections HAProxy, which has the supervisor's limit, can have."""
    agent, supervisor = Unit("portico-agent.service"), Unit("portico-supervisor.service")
    assert agent.setting("LimitNOFILE") == supervisor.setting("LimitNOFILE")
    for name in ("User", "Group", "StateDirectory", "StateDirectoryMode"):  # else systemd would chown it on each start
        assert agent.setting(name) == supervisor.setting(name)


@pytest.mark.parametrize("unit", _SERVICES, ids=lambda unit: unit.name)
def test_a_unit_has_few_privileges(unit: Unit) -> None:
    """The supervisor has four capabilities and the others none; no unit runs as root; systemd's own exposure score,
    from 0 to 10, does not get worse."""
    is_supervisor = unit.name == "portico-supervisor.service"
    powers = "CAP_SETUID CAP_SETGID CAP_KILL CAP_NET_BIND_SERVICE" if is_supervisor else ""
    assert (unit.setting("CapabilityBoundingSet"), unit.setting("AmbientCapabilities")) == (powers, powers)
    assert unit.setting("User") in {"portico", "portico-agent"}
    analyze = find_program("systemd-analyze", "systemd")
    command = [str(analyze), "security", "--offline=true", "--no-pager", f"--threshold={25 if is_supervisor else 15}"]
    assessed = subprocess.run(
        [*command, str(_DEPLOY / "systemd" / unit.name)], capture_output=True, text=True, check=False
    )
    assert assessed.returncode == 0, assessed.stdout


@needs_root
def test_the_agent_s_key_is_copied_for_the_agent_alone(run_directory: Path) -> None:
    """The commands of portico-certificates.service create the certificates as the controller's user, and copy the
    agent's to where only the agent can read its key. Nobody else can read it at any moment, and neither user can read
    the other's key."""
    interpreter = find_python()
    assert interpreter is not None
    home = run_directory / "certificates-unit"
    places = {
        "/etc/portico-agent": home / "agent",
        "/var/lib/portico/certificates": home / "portico" / "certificates",
    }
    for directory, user in ((home, 0), (home / "agent", 0), (home / "portico", USERS["portico"])):
        directory.mkdir(mode=0o755)
        os.chown(directory, user, user)
    log = record_copies(home)
    unit = Unit("portico-certificates.service")
    [make], [copy, *_] = unit.programs(), unit.programs("ExecStartPost")
    environment = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    environment["PORTICO_AMPHORA__CERTIFICATES"] = str(home / "portico" / "certificates")
    makes = [*unit.credentials(), *installed(make[:2], interpreter)]
    copies = [place(word, {name: str(path) for name, path in places.items()}) for word in copy]
    for command in (makes, copies, copies):
        subprocess.run(command, env=environment, cwd=home, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)

    assert set(log.read_text().split()) == {"600"}
    copied = {path.name: path for path in (home / "agent").iterdir()}
    assert set(copied) == {"agent.key", "agent.pem", "ca.pem"}
    for name, path in copied.items():
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (USERS["portico-agent"], 0o600)
        assert path.read_bytes() == (home / "portico" / "certificates" / name).read_bytes()
    for path in (home / "portico" / "certificates").iterdir():
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (USERS["portico"], 0)


def record_copies(home: Path) -> Path:
    """Replace ``chown`` by a program that records the mode of its file, which has been written by then. Return the path
    of the record."""
    log, program = home / "modes", home / "bin" / "chown"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nstat -c %a "$2" >>{log}\nexec {shutil.which("chown")} "$@"\n')
    program.chmod(0o755)
    return log
