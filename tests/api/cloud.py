"""A small cloud: Keystone, and Portico's API and worker as processes of their own that authenticate callers with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openstack

from portico.store.sql.schema import upgrade
from tests.support.commands import PORTICO_CODE
from tests.support.keystone import Keystone, User
from tests.support.waiting import PATIENCE, wait_until

_QUIET_PORTICO = [sys.executable, "-W", "ignore", "-c", PORTICO_CODE]
_OPENSTACK = "import sys; from openstackclient.shell import main; sys.exit(main(sys.argv[1:]))"
_CONFIGURATION = """\
[database]
url = "sqlite:///{directory}/portico.db"
[worker]
poll_seconds = 0.1
batch_seconds = 0.0
[compute]
driver = "noop"
[network]
driver = "noop"
[amphora]
driver = "noop"
[api]
port = {port}
auth = "keystone"
policy_file = "{directory}/policy.yaml"
[keystone]
auth_url = "{auth_url}"
username = "{username}"
timeout_seconds = 5
"""
LBS = "/v2.0/lbaas/loadbalancers"


class Cloud:
    """The processes run until it is closed. Portico's endpoint is in Keystone's catalog, in a region of its own."""

    def __init__(self, keystone: Keystone, directory: Path) -> None:
        self.keystone, self.directory = keystone, directory
        self.region = f"region-{directory.name}"
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.service_user = keystone.add_user("service", "service")
        self._write_settings(port)
        upgrade(f"sqlite:///{directory}/portico.db")
        keystone.add_region(self.region)
        # Portico answers for Neutron where there is none.
        for kind, url in (("load-balancer", self.url), ("network", self.url), ("identity", keystone.url)):
            keystone.add_endpoint(kind, url, self.region)
        self.log = directory / "log"
        with self.log.open("ab") as log:
            self._processes = [self._start(what, log) for what in ("api", "worker")]
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE)
        wait_until(self._answers, "the API answers")

    def _write_settings(self, port: int) -> None:
        user = self.service_user
        (self.directory / "portico.toml").write_text(
            _CONFIGURATION.format(directory=self.directory, port=port, auth_url=self.keystone.url, username=user.name)
        )
        (self.directory / "policy.yaml").write_text("")

    def _start(self, what: str, log: Any) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PORTICO_KEYSTONE__PASSWORD": self.service_user.password}
        command = [*_QUIET_PORTICO, what, "--config", str(self.directory / "portico.toml")]
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _answers(self) -> bool:
        assert self._processes[0].poll() is None, self.log.read_text()
        try:
            return self.client.get("/").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """End both processes and check that they succeeded."""
        self.client.close()
        for process in self._processes:
            process.terminate()
        assert [process.wait(PATIENCE) for process in self._processes] == [0, 0], self.log.read_text()

    # Clients

    def request(self, method: str, path: str, token: str | None, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request with a token and additional headers (``x_roles="admin"``)."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["x-auth-token"] = token
        return self.client.request(method, path, json=body, headers=given)

    def sdk(self, user: User) -> Any:
        """The stock SDK, which finds Portico in the catalog."""
        account: dict[str, Any] = self._auth(user)
        return openstack.connect(load_envvars=False, load_yaml_config=False, region_name=self.region, **account)

    def run(self, user: User, command: str) -> tuple[int, Any, str]:
        """Run ``openstack loadbalancer COMMAND``. Return its exit status, its output (decoded if it is JSON) and its
        errors."""
        words = command.split()
        shows = words[-1] in ("list", "json")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "PYTHONWARNINGS": "ignore",
            "OS_REGION_NAME": self.region,
            "OS_IDENTITY_API_VERSION": "3",
            **{f"OS_{name.upper()}": value for name, value in self._auth(user).items()},
        }
        done = subprocess.run(
            [sys.executable, "-c", _OPENSTACK, "loadbalancer", *words, *(["-f", "json"] if shows else [])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if shows and done.returncode == 0 else done.stdout, done.stderr

    def _auth(self, user: User) -> dict[str, str]:
        scope = {"system_scope": "all"}
        if user.project is not None:
            scope = {"project_name": user.project, "project_domain_name": "Default"}
        account = {"username": user.name, "password": user.password, "user_domain_name": "Default"}
        return {"auth_url": self.keystone.url, **account, **scope}
