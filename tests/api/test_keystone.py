"""Portico behind a real Keystone, with stock clients: roles, projects, valid and invalid tokens, and a Keystone that
goes away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from openstack import exceptions

from portico.api.policy_rules import PREFIX
from tests.api.cloud import LBS, Cloud
from tests.api.service import SUBNET
from tests.api.test_sdk import wait_until_active
from tests.support.keystone import User
from tests.support.services import Services

# The clients import half of OpenStack, parts of which warn.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]
QUOTAS = "/v2.0/lbaas/quotas"
BODY = {"loadbalancer": {"vip_subnet_id": SUBNET}}


@pytest.fixture(scope="module")
def cloud(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Keystone and Portico. Tests create their own projects."""
    cloud = Cloud(services.keystone, tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.close()


@pytest.fixture
def project(cloud: Cloud, request: pytest.FixtureRequest) -> str:
    """The name of a project of the test's own."""
    return str(request.node.name)[:60]


@pytest.fixture
def add(cloud: Cloud, project: str) -> Callable[..., User]:
    """Creates a user with roles in the test's project."""
    return lambda *roles: cloud.keystone.add_user(project, *roles)


@pytest.fixture
def balancer(cloud: Cloud, add: Callable[..., User]) -> dict[str, Any]:
    """A load balancer in the test's project."""
    token = cloud.keystone.issue_token(add("load-balancer_member"))
    response = cloud.request("POST", LBS, token, BODY)
    assert response.status_code == 201, response.text
    return dict(response.json()["loadbalancer"])


def test_roles_in_a_project_by_the_sdk(cloud: Cloud, add: Callable[..., User]) -> None:
    """A member creates, and an observer reads but gets 403 for changes. Keystone's own member and reader roles mean the
    same. A user without any of the roles that count sees nothing."""
    ids = []
    for member in ("load-balancer_member", "member"):
        with cloud.sdk(add(member)) as sdk:
            balancers = sdk.load_balancer
            made = balancers.create_load_balancer(name=member, vip_subnet_id=SUBNET)
            wait_until_active(balancers, made.id)
            assert balancers.update_load_balancer(made, description="d").description == "d"
            ids.append(made.id)
    for observer in ("load-balancer_observer", "reader"):
        with cloud.sdk(add(observer)) as sdk:
            balancers = sdk.load_balancer
            assert [one.id for one in balancers.load_balancers()] == ids
            with pytest.raises(exceptions.ForbiddenException):
                balancers.create_load_balancer(vip_subnet_id=SUBNET)
            with pytest.raises(exceptions.ForbiddenException):
                balancers.delete_load_balancer(ids[0])
            assert list(balancers.flavors()) == []
    with cloud.sdk(add("somebody")) as sdk, pytest.raises(exceptions.ForbiddenException):
        list(sdk.load_balancer.load_balancers())


def test_roles_across_projects_by_the_sdk(cloud: Cloud, balancer: dict[str, Any]) -> None:
    """A member of another project sees nothing, a global observer sees everything and changes nothing, and an
    administrator of a project or of the system can do everything."""
    balancer_id = balancer["id"]
    with cloud.sdk(cloud.keystone.add_user("elsewhere", "load-balancer_member")) as sdk:
        assert list(sdk.load_balancer.load_balancers()) == []
        assert sdk.load_balancer.find_load_balancer("web") is None
        for ask in (sdk.load_balancer.get_load_balancer, sdk.load_balancer.delete_load_balancer):
            with pytest.raises(exceptions.ForbiddenException):
                ask(balancer_id)
    with cloud.sdk(cloud.keystone.add_user("elsewhere", "load-balancer_global_observer")) as sdk:
        assert balancer_id in [one.id for one in sdk.load_balancer.load_balancers()]
        wait_until_active(sdk.load_balancer, balancer_id)
        with pytest.raises(exceptions.ForbiddenException):
            sdk.load_balancer.update_load_balancer(balancer_id, name="mine")
    for who in (cloud.keystone.add_user("elsewhere", "load-balancer_admin"), cloud.keystone.admin):
        with cloud.sdk(who) as sdk:
            assert sdk.load_balancer.update_load_balancer(balancer_id, name=who.name).name == who.name
            assert len(list(sdk.load_balancer.amphorae(loadbalancer_id=balancer_id))) == 1
    system = cloud.keystone.issue_token(cloud.keystone.add_user(None, "admin"))
    assert cloud.request("GET", f"{LBS}/{balancer_id}", system).status_code == 200
    assert cloud.request("POST", LBS, system, BODY).status_code == 400
    for_project = {"loadbalancer": {**BODY["loadbalancer"], "project_id": balancer["project_id"]}}
    assert cloud.request("POST", LBS, system, for_project).status_code == 201


def test_the_command_line_finds_everything_in_the_catalog(cloud: Cloud, add: Callable[..., User], project: str) -> None:
    """``openstack loadbalancer`` with a password: a member creates, an observer sees and is refused changes, an
    administrator sets the quota of a project by name."""
    create = f"create --wait --name web --vip-subnet-id {SUBNET}"
    status, shown, errors = cloud.run(add("load-balancer_member"), f"{create} -f json")
    assert status == 0, errors
    assert shown["provisioning_status"] == "ACTIVE"
    observer = add("load-balancer_observer")
    commands = ((observer, "list"), (observer, create), (cloud.keystone.admin, f"quota set --member 1 {project}"))
    with ThreadPoolExecutor(2) as pool:  # each takes seconds, mostly for imports
        listed, refused, quota = pool.map(lambda one: cloud.run(*one), commands)
    assert (listed[0], [one["name"] for one in listed[1]]) == (0, ["web"])
    assert (refused[0] != 0, "Policy does not allow this request" in refused[2]) == (True, True)
    assert quota[0] == 0, quota[2]
    token = cloud.keystone.issue_token(observer)
    assert cloud.request("GET", f"{QUOTAS}/{observer.project_id}", token).json()["quota"]["member"] == 1


def test_a_quota_administrator_sets_quotas(cloud: Cloud, balancer: dict[str, Any]) -> None:
    """A quota administrator sets the quotas of any project, but has no access to its load balancers."""
    token = cloud.keystone.issue_token(cloud.keystone.add_user("elsewhere", "load-balancer_quota_admin"))
    path = f"{QUOTAS}/{balancer['project_id']}"
    assert cloud.request("PUT", path, token, {"quota": {"pool": 3}}).status_code == 202
    assert cloud.request("GET", path, token).json()["quota"]["pool"] == 3
    assert cloud.request("GET", f"{LBS}/{balancer['id']}", token).status_code == 403
    assert cloud.request("GET", LBS, token).status_code == 403


def test_bad_tokens_are_refused_with_the_address_of_keystone(cloud: Cloud, add: Callable[..., User]) -> None:
    """A missing, empty, invalid or revoked token gets 401 with the address of Keystone. Discovery needs no token."""
    revoked = cloud.keystone.issue_token(add("load-balancer_member"))
    cloud.keystone.revoke_token(revoked)
    for token in (None, "", "garbage", "x" * 5000, "gAAAAA" + "b" * 180, "é", revoked):
        headers = {} if token is None else {b"x-auth-token": token.encode()}
        response = cloud.client.get(LBS, headers=headers)
        assert response.status_code == 401, (token, response.text)
        assert response.json()["error"]["code"] == 401
        assert response.headers["www-authenticate"] == f'Keystone uri="{cloud.keystone.url}"'
    assert cloud.request("GET", "/", "garbage").status_code == 200
    assert cloud.request("POST", LBS, None, BODY).status_code == 401


def test_identity_headers_from_clients_are_ignored(cloud: Cloud, balancer: dict[str, Any]) -> None:
    """If the caller sends the headers that Keystone's middleware sets for the API, they change nothing; without a token
    they are ignored."""
    forged = {
        "x_roles": "admin",
        "x_project_id": str(balancer["project_id"]),
        "x_user_id": "root",
        "x_identity_status": "Confirmed",
        "x_service_identity_status": "Confirmed",
        "x_is_admin_project": "True",
        "openstack_system_scope": "all",
        "x_service_roles": "service",
    }
    token = cloud.keystone.issue_token(cloud.keystone.add_user("elsewhere", "load-balancer_member"))
    path = f"{LBS}/{balancer['id']}"
    assert cloud.request("GET", path, token, **forged).status_code == 403
    assert cloud.request("GET", "/v2.0/octavia/amphorae", token, **forged).status_code == 403
    assert cloud.request("GET", LBS, token, **forged).json()["loadbalancers"] == []
    assert cloud.request("GET", path, None, **forged).status_code == 401


def test_tokens_without_a_project_are_refused(cloud: Cloud) -> None:
    """Tokens for a domain are refused whatever the role there, and so are tokens without a scope."""
    user = cloud.keystone.add_user("elsewhere", "load-balancer_member", domain_roles=("admin",))
    for scope in ({"domain": {"id": "default"}}, "unscoped"):
        token = cloud.keystone.issue_token(user, scope)
        response = cloud.request("GET", LBS, token)
        assert response.status_code == 403
        assert "not scoped to a project" in response.json()["faultstring"]


def test_a_service_can_act_for_a_user(cloud: Cloud, add: Callable[..., User]) -> None:
    """If a request has a service token beside the user's token, the user's rights apply; an invalid service token, or
    one of a user, is refused."""
    member, service = add("load-balancer_member"), cloud.keystone.issue_token(cloud.service_user)
    token = cloud.keystone.issue_token(member)
    assert cloud.request("GET", LBS, token, x_service_token=service).status_code == 200
    assert cloud.request("GET", LBS, token, x_service_token="nonsense").status_code == 401
    assert cloud.request("GET", LBS, token, x_service_token=token).status_code == 401
    assert cloud.request("GET", "/v2.0/octavia/amphorae", token, x_service_token=service).status_code == 403


def test_an_application_credential_is_limited_to_its_access_rules(cloud: Cloud, add: Callable[..., User]) -> None:
    """A credential that may list load balancers can list load balancers, and nothing else."""
    user = add("load-balancer_member")
    rule = {"service": "load-balancer", "method": "GET", "path": LBS}
    token = cloud.keystone.issue_restricted_token(user, rule)
    assert cloud.request("GET", LBS, token).status_code == 200
    assert cloud.request("GET", "/v2.0/lbaas/pools", token).status_code == 401
    assert cloud.request("POST", LBS, token, BODY).status_code == 401


def test_operators_change_rules_while_the_api_runs(cloud: Cloud, balancer: dict[str, Any]) -> None:
    """A change of the file that ``api.policy_file`` names applies from the next request on."""
    owner = cloud.keystone.issue_token(_member_of(cloud, balancer))
    path = f"{LBS}/{balancer['id']}/failover"
    file = cloud.directory / "policy.yaml"
    assert cloud.request("PUT", path, owner).status_code == 403
    file.write_text(f'"{PREFIX}loadbalancer:put_failover": "rule:load-balancer:write"\n')
    try:
        assert cloud.request("PUT", path, owner).status_code == 202
    finally:
        file.write_text("")
    assert cloud.request("PUT", path, owner).status_code == 403


def _member_of(cloud: Cloud, balancer: dict[str, Any]) -> User:
    projects = {project_id: name for name, project_id in cloud.keystone.projects.items()}
    return cloud.keystone.add_user(projects[balancer["project_id"]], "load-balancer_member")


def test_the_global_request_id_is_stored_on_the_operation(cloud: Cloud, add: Callable[..., User]) -> None:
    """The SDK's global request id, which a user's request keeps across services, is stored on the operation."""
    given = f"req-{uuid4()}"
    with cloud.sdk(add("load-balancer_member")) as sdk, sdk.global_request(given) as request:
        made = request.load_balancer.create_load_balancer(vip_subnet_id=SUBNET)
    with closing(sqlite3.connect(cloud.directory / "portico.db")) as connection:
        found = connection.execute("SELECT request_id FROM operation WHERE subject_id = ?", (made.id,)).fetchall()
    assert found == [(given,)]


def test_known_tokens_work_while_keystone_is_down(cloud: Cloud, add: Callable[..., User]) -> None:
    """While Keystone is down, tokens that it has already validated still work, and other callers get 503 instead of
    being told that their token is invalid. When Keystone is back, everything works. The log gives the reason with the
    request's id, and no secret."""
    known, unknown = (cloud.keystone.issue_token(add("load-balancer_member")) for _ in range(2))
    assert cloud.request("GET", LBS, known).status_code == 200
    cloud.keystone.kill()
    try:
        assert cloud.request("GET", LBS, known).status_code == 200
        assert cloud.request("POST", LBS, known, BODY).status_code == 201
        refused = cloud.request("GET", LBS, unknown, x_openstack_request_id="req-while-it-was-away")
        assert refused.status_code == 503
        assert refused.json()["faultcode"] == "Server"
        assert "Keystone" in refused.json()["faultstring"]
        assert refused.headers["retry-after"] == "1"
        assert cloud.request("GET", "/", unknown).status_code == 200
    finally:
        cloud.keystone.start()
    assert cloud.request("GET", LBS, unknown).status_code == 200
    assert cloud.request("GET", LBS, "garbage").status_code == 401
    log = Path(cloud.log).read_text()
    assert "req-while-it-was-away" in log
    assert cloud.service_user.password not in log
    assert not any(token in log for token in (known, unknown))
