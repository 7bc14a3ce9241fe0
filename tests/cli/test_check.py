"""``portico check`` on deployments that work and deployments each broken in another way: real databases, agents,
brokers and Keystones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from portico.drivers.agent_client import Agent, AgentClient
from portico.drivers.local_agent_process import LocalAgent, ensure_local_agent
from portico.drivers.local_ca import LocalCertificateAuthority, ensure_local_certificates
from portico.settings import AgentAmphoraSettings, LocalComputeSettings
from portico.store.sql.database import migration_engine
from portico.store.sql.schema import downgrade, upgrade
from tests.support.commands import run
from tests.support.ports import find_free_port
from tests.support.services import Services, TemplateSetup

pytestmark = [
    pytest.mark.database("postgresql"),
    # keystoneauth and oslo.messaging import half of OpenStack, parts of which warn.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@dataclass(frozen=True)
class AgentHost:
    """A running agent, and certificates of a controller that it accepts."""

    agent: LocalAgent
    certificates: Path


@pytest.fixture(scope="module")
def agent_host(run_directory: Path) -> Iterator[AgentHost]:
    """One agent host for all tests here."""
    directory = run_directory / "check-agent"
    settings = AgentAmphoraSettings(certificates=directory / "certificates")
    wanted = Agent("https://127.0.0.1:0", LocalComputeSettings().agent_name)
    ensure_local_certificates(settings.certificates, wanted.name, settings.controller_name)
    client = AgentClient(settings)
    agent = ensure_local_agent(directory, wanted, settings, client, start_seconds=90)
    yield AgentHost(agent, settings.certificates)
    agent.stop()
    client.close()


class Deployment:
    """Everything that a configuration refers to, all of it real; a test changes ``values``, or what they refer to,
    before the check.

    Attributes:
        values: groups of settings.
        certificates: the controller's, a copy for this test.
        services: this run's servers.
    """

    def __init__(self, directory: Path, database_url: str, host: AgentHost, services: Services) -> None:
        self.directory = directory
        self.services = services
        self.certificates = shutil.copytree(host.certificates, directory / "certificates")
        self.values: dict[str, dict[str, Any]] = {
            "database": {"url": database_url, "retries": 1},
            "compute": {"agent_url": host.agent.url},
            "amphora": {"certificates": str(self.certificates), "connect_seconds": 5},
            "api": {"auth": "noauth"},
        }

    def use_keystone(self, **more: Any) -> None:
        """Let the API use this run's Keystone, as a service user of its own."""
        keystone = self.services.keystone
        user = keystone.add_user(f"service-{self.directory.name}"[:60], "service")
        self.values["api"]["auth"] = "keystone"
        account = {"username": user.name, "password": user.password, "project_name": user.project}
        self.values["keystone"] = {"auth_url": keystone.url, "interface": "public", **account, **more}

    def use_broker(self, url: str | None = None) -> None:
        """Send messages through this run's broker."""
        self.values["messaging"] = {"url": url or self.services.rabbitmq.url}

    def issue(
        self, name: str, days: int = 90, clock: Callable[[], datetime] | None = None, ca: Path | None = None
    ) -> None:
        """Give the controller another certificate."""
        now = clock or (lambda: datetime.now(UTC))
        made = LocalCertificateAuthority(ca or self.certificates, now).issue(name, (name,), days)
        (self.certificates / "controller.pem").write_text(made.certificate)
        (self.certificates / "controller.key").write_text(made.key)

    def check(self) -> tuple[int, dict[str, tuple[str, str]], str]:
        """Run the check. Return its exit status, the mark and finding of each part, and the standard error."""
        config = self.directory / "portico.toml"
        lines = []
        for group, values in self.values.items():
            lines.append(f"[{group}]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        config.write_text("\n".join(lines))
        done = run("check", "--config", config)
        parts = {}
        for line in done.stdout.splitlines():
            mark, part, finding = line.split(maxsplit=2)
            parts[part] = (mark, finding)
        return done.exit_code, parts, done.stderr


@pytest.fixture
def deployment(tmp_path: Path, database_url: str, agent_host: AgentHost, services: Services) -> Deployment:
    """A deployment that works."""
    return Deployment(tmp_path, database_url, agent_host, services)


def test_a_working_deployment(deployment: Deployment) -> None:
    """Every part works: each has a line with its finding, and the status is 0. No password is shown."""
    deployment.use_keystone()
    deployment.use_broker()
    status, parts, complaints = deployment.check()

    assert (status, complaints) == (0, ""), parts
    assert list(parts) == [
        *("configuration", "database", "certificates", "agent", "network", "broker", "API", "policy", "Keystone")
    ]
    assert {mark for mark, _ in parts.values()} == {"ok"}
    assert "HAProxy 2." in parts["agent"][1]
    assert f"until {datetime.now(UTC) + timedelta(days=90):%Y-%m-%d}" in parts["certificates"][1]
    password = deployment.values["keystone"]["password"]
    assert not [finding for _, finding in parts.values() if password in finding]


def test_unused_services_are_not_a_fault(deployment: Deployment) -> None:
    """Without a broker and Keystone, their lines describe what is used instead."""
    status, parts, _ = deployment.check()

    assert status == 0
    on_postgresql = "postgresql" in deployment.values["database"]["url"]
    alternative = "workers are woken by the database" if on_postgresql else "workers find their work by polling"
    assert parts["broker"] == ("-", f"messaging.url is empty: {alternative}")
    assert parts["Keystone"][0] == "-"


Break = Callable[[Deployment], object]


def _put(group: str, name: str, value: Any) -> Break:
    return lambda deployment: deployment.values.setdefault(group, {}).update({name: value})


def _set_revision(deployment: Deployment) -> None:
    engine = migration_engine(deployment.values["database"]["url"])
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()


def _other_authority(deployment: Deployment) -> None:
    other = deployment.directory / "other"
    deployment.issue("portico-controller", ca=other)
    shutil.copy(other / "ca.pem", deployment.certificates / "ca.pem")


def _remove(name: str) -> Break:
    return lambda deployment: (deployment.certificates / name).unlink()


def _corrupt(name: str) -> Break:
    return lambda deployment: (deployment.certificates / name).write_text("-----BEGIN NOTHING-----")


def _expire(deployment: Deployment) -> None:
    deployment.issue("portico-controller", 1, lambda: datetime.now(UTC) - timedelta(days=2))


def _foreign(deployment: Deployment) -> None:
    deployment.issue("portico-controller", ca=deployment.directory / "other")


def _keystone(**more: Any) -> Break:
    return lambda deployment: deployment.use_keystone(**more)


def _member(deployment: Deployment) -> None:
    user = deployment.services.keystone.add_user("nobody-service", "member")
    deployment.use_keystone(username=user.name, password=user.password, project_name=user.project)


def _wrong_rule(deployment: Deployment) -> None:
    rules = deployment.directory / "policy.yaml"
    rules.write_text('"load-balancer:no-such-rule": "!"\n- [')
    deployment.values["api"]["policy_file"] = str(rules)


def _closed_port() -> int:
    return find_free_port()


_BROKEN: dict[str, tuple[Break, str, str]] = {
    # kind: how to break the deployment, the faulty part, and what is reported
    "server down": (
        lambda one: one.values["database"].update(
            url=f"postgresql+psycopg://u:s3cret@127.0.0.1:{_closed_port()}/portico"
        ),
        "database",
        "u:***@127.0.0.1",
    ),
    "another database's name": (
        lambda one: one.values["database"].update(url=one.values["database"]["url"].replace("?", "-none?", 1)),
        "database",
        "does not exist",
    ),
    "unknown option of the driver": (
        lambda one: one.values["database"].update(url=one.values["database"]["url"] + "&sslmoed=require"),
        "database",
        "sslmoed",
    ),
    "no file": (_put("database", "url", "sqlite:////nowhere/portico.db"), "database", "run portico db upgrade"),
    "no schema": (
        lambda one: downgrade(one.values["database"]["url"], "base"),
        "database",
        "is without tables",
    ),
    "old schema": (lambda one: downgrade(one.values["database"]["url"], "0004"), "database", "is at revision 0004"),
    "new schema": (_set_revision, "database", "is at revision 9999, of a newer version"),
    "no certificates": (
        lambda one: shutil.rmtree(one.certificates),
        "certificates",
        "ca.pem: No such file or directory; portico certificates creates",
    ),
    "no key": (_remove("controller.key"), "certificates", "controller.key: No such file"),
    "no PEM": (_corrupt("controller.pem"), "certificates", "controller.pem"),
    "no authority in PEM": (_corrupt("ca.pem"), "certificates", "ca.pem does not contain a certificate"),
    "key of another": (
        lambda one: shutil.copy(one.certificates / "agent.key", one.certificates / "controller.key"),
        "certificates",
        "controller.key is not the key of",
    ),
    "expired": (_expire, "certificates", "controller.pem expired at"),
    "not yet valid": (
        lambda one: one.issue("portico-controller", 9, lambda: datetime.now(UTC) + timedelta(days=3)),
        "certificates",
        "is not valid before",
    ),
    "ends soon": (lambda one: one.issue("portico-controller", 3), "certificates", "run portico certificates"),
    "another name": (lambda one: one.issue("somebody"), "certificates", "issued to ['somebody'], not to portico"),
    "signed by another": (_foreign, "certificates", "is not signed by an authority in"),
    "no agent": (
        lambda one: one.values["compute"].update(agent_url=f"https://127.0.0.1:{_closed_port()}"),
        "agent",
        "Connection refused",
    ),
    "agent of another authority": (_other_authority, "agent", "certificate verify failed"),
    "agent of another name": (_put("compute", "agent_name", "another"), "agent", "Hostname mismatch"),
    "VIPs elsewhere": (_put("network", "vip_range", "10.0.0.0/8"), "network", "vip_range"),
    "no broker": (
        lambda one: one.use_broker(f"rabbit://u:s3cret@127.0.0.1:{_closed_port()}//"),
        "broker",
        "refused",
    ),
    "broker's password": (
        lambda one: one.use_broker(one.services.rabbitmq.url.replace("@", "-s3cret@")),
        "broker",
        "does not accept messages",
    ),
    "no broker's URL": (lambda one: one.use_broker("amqp:/s3cret"), "broker", "messaging.url: must be like rabbit://"),
    "another machine's address": (_put("api", "host", "192.0.2.1"), "API", "api.host: cannot listen on 192.0.2.1"),
    "no address": (_put("api", "host", "no such name"), "API", "api.host"),
    "no policy": (_put("api", "policy_file", "/nowhere/policy.yaml"), "policy", "policy_file"),
    "no rules": (_wrong_rule, "policy", "policy_file"),
    "no Keystone": (
        lambda one: one.use_keystone(auth_url=f"http://127.0.0.1:{_closed_port()}/v3"),
        "Keystone",
        "Unable to establish connection",
    ),
    "Keystone's password": (_keystone(password="s3cret"), "Keystone", "authentication"),
    "another project": (_keystone(project_name="elsewhere"), "Keystone", "authentication"),
    "another region": (
        _keystone(region="Nowhere"),
        "Keystone",
        "public endpoint for identity service in Nowhere region not found",
    ),
    "no role": (_member, "Keystone", "has neither the role admin nor service"),
}


@pytest.mark.parametrize("kind", _BROKEN)
def test_faults_are_reported(deployment: Deployment, kind: str) -> None:
    """One line, for the faulty part, reports what is wrong. The other parts are checked nevertheless. The status is 1,
    and no password is shown."""
    break_it, part, finding = _BROKEN[kind]
    break_it(deployment)
    status, parts, complaints = deployment.check()

    assert (status, "at fault" in complaints) == (1, True), parts
    assert parts[part][0] == "FAULT", parts
    assert finding in parts[part][1]
    assert len(parts) == 9
    # Without valid certificates no agent can be asked.
    also = {"agent"} if part == "certificates" else set()
    assert {name for name, (mark, _) in parts.items() if mark == "FAULT"} - also == {part}
    assert not [finding for _, finding in parts.values() if "s3cret" in finding]


@pytest.mark.parametrize(
    ("group", "name", "value", "finding"),
    [
        ("worker", "thread", 3, "did you mean worker.threads?"),
        ("database", "url", "postgres://u:s3cret@db/portico", "must be postgresql+psycopg://"),
        ("database", "url", "mysql://u:s3cret@db/portico", "must be mariadb+pymysql://"),
        ("database", "url", "foo", "must be sqlite:///PATH"),
        ("database", "url", "postgresql+psycopg://u:s3cret@/@db/portico", "@ is %40"),
        ("compute", "agent_url", "10.0.0.5:9443", "agents accept HTTPS only"),
        ("api", "auth", "keystone", "keystone.auth_url"),
    ],
)
def test_an_invalid_configuration_is_reported_first(
    deployment: Deployment, group: str, name: str, value: Any, finding: str
) -> None:
    """The message is the one of every other command, with the file and, if known, the line."""
    deployment.values.setdefault(group, {})[name] = value
    status, parts, complaints = deployment.check()

    assert (status, parts) == (1, {})
    assert finding in complaints
    assert str(deployment.directory / "portico.toml") in complaints
    assert "s3cret" not in complaints
