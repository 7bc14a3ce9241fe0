"""The Keystone of a test run: the real one, with SQLite and Fernet tokens, on a loopback port."""

from __future__ import annotations

import secrets
import socket
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from tests.support.server import Server
from tests.support.waiting import PATIENCE

_ROOT = Path(__file__).resolve().parents[2]
_CONFIGURATION = """\
[database]
connection = sqlite:///{data}/keystone.db
[fernet_tokens]
key_repository = {data}/keys
[fernet_receipts]
key_repository = {data}/receipt-keys
[credential]
key_repository = {data}/credential-keys
[identity]
# bcrypt's minimum, because these passwords protect nothing and are checked often.
password_hash_rounds = 4
"""


@dataclass(frozen=True)
class User:
    """A user with a password and a project. If ``project_id`` is None, the user's roles are for the system as a
    whole."""

    id: str
    name: str
    password: str
    project: str | None
    project_id: str | None


class Keystone(Server):
    """A Keystone. When it is killed and started again, it has the same address, users and keys."""

    def __init__(self, directory: Path) -> None:
        self.password = secrets.token_hex(8)
        # Bound but not listening, so that nobody else gets the port, and connections are refused while the program is
        # down.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._port.getsockname()[1]}/v3"
        self._client = httpx.Client(trust_env=False, timeout=PATIENCE)
        self.projects: dict[str, str] = {}
        self._roles: dict[str, str] = {}
        super().__init__(directory)

    def initialise(self) -> None:
        """Write the configuration. The program creates everything else."""
        self.data.mkdir(mode=0o700)
        (self.directory / "keystone.conf").write_text(_CONFIGURATION.format(data=self.data))

    def build_command(self) -> list[str]:
        """The command that runs Keystone."""
        port = str(self._port.getsockname()[1])
        return [
            *("/usr/bin/env", f"PYTHONPATH={_ROOT}", "PYTHONWARNINGS=ignore"),
            *(f"KEYSTONE_ADMIN_PASSWORD={self.password}", sys.executable, "-m", "tests.support.keystone_server"),
            *(str(self.directory / "keystone.conf"), port),
        ]

    def ping(self) -> None:
        """Request Keystone's version."""
        self._client.get(self.url).raise_for_status()

    def _drop_root(self) -> None:
        """Stay the same user: Keystone runs this checkout's code, which other users may not be able to read."""

    def __exit__(self, *details: object) -> None:
        """Stop Keystone and release its port."""
        super().__exit__(*details)
        self._client.close()
        self._port.close()

    # Contents

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request as the first administrator, and return the body of the answer."""
        headers = {"X-Auth-Token": self._admin_token}
        response = self._client.request(method, f"{self.url}/{path}", json=body, headers=headers)
        response.raise_for_status()
        return response.json() if response.content else None

    @cached_property
    def _admin_token(self) -> str:
        return self.issue_token(self.admin)

    @property
    def admin(self) -> User:
        """The first administrator."""
        return User("", "admin", self.password, "admin", "")

    def issue_token(self, user: User, scope: Any = None) -> str:
        """Issue a token for a user, with ``scope``, or else with the user's project (or the system) as its scope."""
        default = {"id": "default"}
        project = {"project": {"name": user.project, "domain": default}}
        own = {"system": {"all": True}} if user.project is None else project
        who = {"user": {"name": user.name, "password": user.password, "domain": default}}
        auth = {"identity": {"methods": ["password"], "password": who}, "scope": own if scope is None else scope}
        response = self._client.post(f"{self.url}/auth/tokens", json={"auth": auth})
        response.raise_for_status()
        return response.headers["X-Subject-Token"]

    def issue_restricted_token(self, user: User, *rules: dict[str, str]) -> str:
        """Issue a token of an application credential of the user, restricted by these access rules."""
        headers = {"X-Auth-Token": self.issue_token(user)}
        body = {"application_credential": {"name": secrets.token_hex(3), "access_rules": list(rules)}}
        path = f"{self.url}/users/{user.id}/application_credentials"
        made = self._client.post(path, json=body, headers=headers).raise_for_status().json()["application_credential"]
        which = {"id": made["id"], "secret": made["secret"]}
        auth = {"identity": {"methods": ["application_credential"], "application_credential": which}}
        response = self._client.post(f"{self.url}/auth/tokens", json={"auth": auth}).raise_for_status()
        return response.headers["X-Subject-Token"]

    def revoke_token(self, token: str) -> None:
        """Revoke a token before it expires."""
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        self._client.delete(f"{self.url}/auth/tokens", headers=headers).raise_for_status()

    def find_project(self, name: str) -> str:
        """The id of a project, which is created if necessary."""
        if name not in self.projects:
            made = self.call("POST", "projects", {"project": {"name": name, "domain_id": "default"}})
            self.projects[name] = made["project"]["id"]
        return self.projects[name]

    def find_role(self, name: str) -> str:
        """The id of a role, which is created if necessary."""
        if not self._roles:
            self._roles = {role["name"]: role["id"] for role in self.call("GET", "roles")["roles"]}
        if name not in self._roles:
            self._roles[name] = self.call("POST", "roles", {"role": {"name": name}})["role"]["id"]
        return self._roles[name]

    def add_user(self, project: str | None, *roles: str, domain_roles: tuple[str, ...] = ()) -> User:
        """Add a user with roles in a project, or in the system if ``project`` is None."""
        name, password = f"{'-'.join(roles) or 'nobody'}-{secrets.token_hex(3)}", secrets.token_hex(8)
        body = {"user": {"name": name, "password": password, "domain_id": "default"}}
        user_id = self.call("POST", "users", body)["user"]["id"]
        project_id = self.find_project(project) if project is not None else None
        place = f"projects/{project_id}" if project_id is not None else "system"
        for role in roles:
            self.call("PUT", f"{place}/users/{user_id}/roles/{self.find_role(role)}")
        for role in domain_roles:
            self.call("PUT", f"domains/default/users/{user_id}/roles/{self.find_role(role)}")
        return User(user_id, name, password, project, project_id)

    def add_region(self, region: str) -> None:
        """Add a region for endpoints."""
        self.call("PUT", f"regions/{region}", {"region": {}})

    def add_endpoint(self, service_type: str, url: str, region: str) -> None:
        """Add a service to the catalog."""
        made = self.call("POST", "services", {"service": {"type": service_type, "name": service_type}})
        for interface in ("public", "internal", "admin"):
            endpoint = {
                "service_id": made["service"]["id"],
                "interface": interface,
                "url": url,
                "region_id": region,
            }
            self.call("POST", "endpoints", {"endpoint": endpoint})
