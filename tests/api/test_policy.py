"""The policy: each rule governs the requests that the reference lists, operators can change rules while the API runs,
and checks are cheap."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from portico.api.application import build_policy
from portico.api.identity import Identity, NoAuth
from portico.api.oslo_policy import OsloPolicy
from portico.api.policy import AllowEverything
from portico.api.policy_rules import PREFIX, describe_rules, list_rules
from portico.errors import InvalidInput
from portico.settings import ApiSettings, Settings
from tests.api.routes import UNGUARDED, WITHOUT_RULE, Inventory, open_inventory, routes_of
from tests.support.services import Services

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "policy.md"
MEMBER = Identity("u", "p1", frozenset({"member"}))
FLAVORS = f"{PREFIX}flavor:get_all"


@pytest.fixture(scope="module")
def inventory(services: Services) -> Iterator[Inventory]:
    """One object of each kind in p1, which no test here changes."""
    with open_inventory(services) as inventory:
        yield inventory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An operator's file, which reserves flavors for administrators."""
    file = tmp_path / "policy.yaml"
    file.write_text(f'"{FLAVORS}": "rule:load-balancer:admin"\n')
    return file


def put(file: Path, text: str) -> None:
    """Replace a file atomically, as editors do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def test_the_reference_matches_the_rules() -> None:
    """docs/reference/policy.md is generated (see CONTRIBUTING.md)."""
    assert REFERENCE.read_text() == describe_rules()


def test_every_route_has_a_rule_and_every_rule_a_route(inventory: Inventory) -> None:
    """The reference lists exactly the existing routes; ``statuses`` is an older spelling of ``status``."""
    operations = [one for rule in list_rules() for one in getattr(rule, "operations", [])]
    ruled = {(one["method"], one["path"]) for one in operations}
    routes = set(routes_of(inventory.service)) - UNGUARDED - WITHOUT_RULE
    assert routes - ruled == {("GET", "/v2.0/lbaas/loadbalancers/{load_balancer_id}/statuses")}
    assert ruled - routes == set()


def test_each_rule_governs_the_requests_that_the_reference_names(inventory: Inventory, tmp_path: Path) -> None:
    """With a file that allows one action to nobody, an administrator is refused exactly that action."""
    service, file = inventory.service, tmp_path / "policy.yaml"
    context = service.app.state.context
    before = inventory.rows()
    for rule in list_rules():
        if not rule.name.startswith(PREFIX) or rule.name.endswith("-global"):
            continue
        everywhere = f"{rule.name}-global"
        file.write_text(f'"{rule.name}": "!"\n"{everywhere}": "!"\n')
        service.app.state.context = replace(context, policy=OsloPolicy(file))
        try:
            for operation in getattr(rule, "operations", []):
                method, path = operation["method"], operation["path"]
                body = inventory.body((method, path))
                response = service.request(method, inventory.address(path), body, project="p1", roles="admin")
                assert response.status_code == 403, (rule.name, operation)
        finally:
            service.app.state.context = context
    assert inventory.rows() == before


def test_files_written_for_octavia_mean_the_same(tmp_path: Path) -> None:
    """Octavia's rule names can be replaced and referred to, and so can those of its roles; ``is_admin`` matches nobody
    here."""
    file = tmp_path / "policy.yaml"
    file.write_text(
        '"context_is_admin": "role:admin or role:boss"\n'
        '"load-balancer:admin": "is_admin:True or rule:context_is_admin"\n'
        '"load-balancer:observer_and_owner": "rule:load-balancer:owner"\n'
        '"load-balancer:member_and_owner": "rule:load-balancer:owner"\n'
    )
    policy, anybody = OsloPolicy(file), Identity("u", "p1", frozenset({"any"}))

    assert policy.allows(anybody, "pool:post", "p1")
    assert not policy.allows(anybody, "pool:post", "p2")
    assert not policy.allows(anybody, "amphora:get_all", None)
    assert policy.allows(Identity("u", "p1", frozenset({"boss"})), "amphora:get_all", None)
    assert policy.allows(Identity("noauth", "p1", frozenset({"admin"})), "amphora:get_all", None)


def test_a_changed_file_applies_to_the_next_check(file: Path) -> None:
    """A changed file applies without a restart; rules that are not in the file have their defaults."""
    policy = OsloPolicy(file)
    assert not policy.allows(MEMBER, "flavor:get_all", "p1")
    assert policy.allows(MEMBER, "flavor:get_one", "p1")

    put(file, f'"{PREFIX}flavor:get_one": "!"\n')

    assert policy.allows(MEMBER, "flavor:get_all", "p1")
    assert not policy.allows(MEMBER, "flavor:get_one", "p1")


@pytest.mark.parametrize("broken", ["a: [", "- a\n", '"x": "rule:nobody_knows"\n', '"x": "nonsense"\n', None])
def test_a_file_that_breaks_leaves_the_rules_as_they_were(file: Path, broken: str | None) -> None:
    """The rules do not fall back to the defaults, which can allow more. The log gives the reason once, and the file
    applies again when it is fixed."""
    policy = OsloPolicy(file)
    if broken is None:
        file.unlink()
    else:
        put(file, broken)

    with capture_logs() as logs:
        assert not policy.allows(MEMBER, "flavor:get_all", "p1")
        assert not policy.allows(MEMBER, "flavor:get_all", "p1")
    assert [one["log_level"] for one in logs] == ["warning"]
    assert "api.policy_file" in logs[0]["reason"]
    put(file, "")
    assert policy.allows(MEMBER, "flavor:get_all", "p1")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "No such file"),
        ("a: [", "flow node"),
        ("- a\n", "mapping"),
        ("a: 5\n", "'a'"),
        ('"x": "rule:nobody_knows"\n', "'x'"),
        ('"x": "rule:x"\n', "'x'"),
        ('"x": "role:a and"\n', "'x'"),
    ],
)
def test_a_wrong_file_is_an_error_at_the_start(tmp_path: Path, text: str | None, named: str) -> None:
    """The error names the setting and what is wrong."""
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)

    with pytest.raises(InvalidInput, match=r"api\.policy_file") as refusal:
        OsloPolicy(file)

    assert named in str(refusal.value)


def test_a_rule_for_an_unknown_action_is_logged(tmp_path: Path) -> None:
    """Otherwise a typing error in the name of an action would be a rule that never applies."""
    file = tmp_path / "policy.yaml"
    file.write_text(f'"{PREFIX}flavour:get_all": "!"\n')

    with capture_logs() as logs:
        OsloPolicy(file)

    assert [one["rule"] for one in logs] == [f"{PREFIX}flavour:get_all"]


def test_results_are_cached(file: Path) -> None:
    """A repeated check is cheap whatever the rules are, because they are not evaluated again. A project id that is
    longer than any real one is not cached."""
    policy = OsloPolicy(file)
    policy.allows(MEMBER, "pool:get_all", "p1")
    answered = policy._answer.cache_info()  # type: ignore[attr-defined]
    for _ in range(100):
        assert policy.allows(MEMBER, "pool:get_all", "p1")
        assert not policy.allows(MEMBER, "quota:put", "x" * 65)
    after = policy._answer.cache_info()  # type: ignore[attr-defined]
    assert (after.misses - answered.misses, after.currsize) == (1, 2)


def test_tokens_are_not_cached(file: Path) -> None:
    """The same caller with different tokens has one cached result, from which no token can be reached."""
    policy = OsloPolicy(file)
    tokens = [f"token-{number}" for number in range(3)]
    for token in tokens:
        assert policy.allows(replace(MEMBER, token=token), "pool:get_all", "p1")

    assert policy._answer.cache_info().currsize == 1  # type: ignore[attr-defined]
    assert not reachable_text(policy._answer) & set(tokens)


def reachable_text(root: object) -> set[str]:
    """Every string that an object refers to, however indirectly, without following modules and classes."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, type | ModuleType | FunctionType):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return {one for one in seen.values() if isinstance(one, str)}


def test_rules_that_call_other_services_are_not_cached(file: Path) -> None:
    """``http:`` checks can answer differently the next time."""
    put(file, f'"{FLAVORS}": "http://127.0.0.1:1/%(project_id)s"\n')

    assert not hasattr(OsloPolicy(file)._answer, "cache_info")


def test_keystone_is_not_imported_unless_it_is_used() -> None:
    """Keystone's middleware imports half of OpenStack, which ``portico up`` does not need."""
    code = "import sys, portico.api; sys.exit('keystonemiddleware' in sys.modules)"
    environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_without_authentication_the_policy_would_allow_everything() -> None:
    """The caller that ``noauth`` assumes may do everything that there is a rule for, in any project and in none, so no
    rules need to be evaluated."""
    octavia, everybody = OsloPolicy(), Identity("noauth", "p1", frozenset({"admin"}))
    names = [rule.name.removeprefix(PREFIX) for rule in list_rules() if rule.name.startswith(PREFIX)]

    assert len(names) > 50
    for name in names:
        for project in (None, "p1", "p2"):
            assert octavia.allows(everybody, name, project), name
            assert AllowEverything().allows(everybody, name, project)


def test_a_policy_file_applies_without_authentication_too(tmp_path: Path) -> None:
    """With a policy file, its rules are evaluated even without authentication; with another authenticator, Octavia's
    rules are."""
    file = tmp_path / "policy.yaml"
    file.write_text('"os_load-balancer_api:loadbalancer:post": "!"\n')
    plain, named = Settings(), Settings(api=ApiSettings(policy_file=file))
    anybody = NoAuth(plain.api)
    caller = Identity("noauth", "p1", frozenset({"admin"}))

    assert isinstance(build_policy(plain, anybody), AllowEverything)
    assert not build_policy(named, anybody).allows(caller, "loadbalancer:post", "p1")
    nobody = Identity("u", "p1", frozenset())
    for other in (_Other(), _Stricter(plain.api)):
        assert not build_policy(plain, other).allows(nobody, "loadbalancer:post", "p1")


class _Stricter(NoAuth):
    """Derived from ``NoAuth``, for callers who are not administrators."""

    async def identify(self, request: Request) -> Identity:
        """Identify a caller without roles."""
        return replace(await super().identify(request), roles=frozenset())


class _Other:
    """Some other authenticator."""

    async def identify(self, request: Request) -> Identity:
        """Identify nobody in particular."""
        raise NotImplementedError
